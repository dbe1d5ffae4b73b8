"""Slow feature analysis: what changes least from one moment to the next (§13.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.estimators.exhibit import Exhibit, axis, floats
from gradus.research.linear_factors.base import Array, LinearFactors, signed

__all__ = ["SlowFeatureAnalysis"]

WIDEST = 5000  # expanded features: their covariance has to fit


def _is_linear(estimator: SlowFeatureAnalysis) -> bool:
    return estimator.expansion == "linear"


@dataclass(kw_only=True, eq=False, repr=False)
class SlowFeatureAnalysis(LinearFactors):
    """Functions of rows in time order that vary as slowly as can be while they vary at all.

    Among ``f(x) = wᵀ (φ(x) - E φ)`` with ``E f = 0``, ``E f² = 1`` and features uncorrelated, those of the least
    ``δ = E (f(x_{t+1}) - f(x_t))²``: white ``φ``, then the last principal directions of its steps in time. ``φ`` is the
    row itself, or with all products of two of its numbers.

    Parameters
    ----------
    n_components : int, optional
        How many; by default all there are.
    expansion : {"linear", "quadratic"}
        What features are linear in: the row, or the row and its products of second degree.
    rtol : float
        Directions whose variance is a smaller share of the largest are left out: they are rounding, or copies.

    Attributes
    ----------
    components_ : ndarray of shape (k, expanded features)
        **w**, slowest first.
    delta_ : ndarray of shape (k,)
        δ, from 0 for what never changes to 4 for what flips at every step; white noise has 2.
    mixing_ : ndarray of shape (features, k)
        ``E[(x - μ) fᵀ]``: of all linear maps back, the one of least squared error.
    mean_, expanded_mean_ : ndarray
    n_components_ : int

    Examples
    --------
    >>> t = np.linspace(0, 20, 2000)
    >>> slow, fast = np.sin(t), np.sin(29 * t)
    >>> model = SlowFeatureAnalysis(n_components=1).fit(np.stack([slow + fast, slow - 2 * fast], 1))
    >>> found = model.transform(np.stack([slow + fast, slow - 2 * fast], 1))[:, 0]
    >>> round(abs(float(np.corrcoef(found, slow)[0, 1])), 3)
    1.0

    References
    ----------
    Goodfellow et al. 2016, §13.3, eqs. 13.8-13.11; Wiskott & Sejnowski 2002, Slow feature analysis; Turner & Sahani
    2007, A maximum-likelihood interpretation for slow feature analysis (what `sample` draws from).
    """

    _least_rows: ClassVar[int] = 3

    n_components: int | None = option(None, "number of slow features; by default all", low=1)
    expansion: Literal["linear", "quadratic"] = option("linear", "what features are linear in")
    rtol: float = option(1e-7, "share of the largest variance below which a direction is left out", above=0, high=1)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the slowest features.

        Parameters
        ----------
        X : array-like of shape (moments, features) or (moments, height, width[, channels])
            Rows in time order, at equal distances.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self
        """
        self.check_settings()
        rows = self._table(X, reset=True)
        self.mean_ = rows.mean(0)
        expanded = self._expand(rows - self.mean_)
        self.expanded_mean_ = expanded.mean(0)
        expanded -= self.expanded_mean_
        values, vectors = eigh(expanded.T @ expanded / len(rows))
        kept = values > self.rtol * values[-1]
        if not kept.any() or values[-1] <= 0:
            raise InputError("rows that vary", "constant ones", "check how they were read")
        k = self._width(self.n_components, int(kept.sum()))
        whitening = vectors[:, kept] / np.sqrt(values[kept])
        steps = np.diff(expanded, axis=0) @ whitening
        _, turned = eigh(steps.T @ steps / len(steps), subset_by_index=(0, k - 1))
        self.components_ = signed((whitening @ turned).T)
        features = expanded @ self.components_.T
        self.delta_ = np.square(np.diff(features, axis=0)).mean(0)
        self.mixing_ = (rows - self.mean_).T @ features / len(rows)
        self.n_components_ = k
        return self

    def _expand(self, centred: Array) -> Array:
        if self.expansion == "linear":
            return centred.copy()
        d = centred.shape[1]
        if d + d * (d + 1) // 2 > WIDEST:
            received = f"{d} features, whose expansion has {d + d * (d + 1) // 2}"
            raise SettingError(f"up to {WIDEST} expanded features", received, "reduce the rows first, by PCA")
        first, second = np.triu_indices(d)
        return np.concatenate([centred, centred[:, first] * centred[:, second]], 1)

    def transform(self, X: Any) -> Array:
        """Return the slow features of rows; over the training rows each has mean 0 and variance 1.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows; each is looked at by itself.

        Returns
        -------
        ndarray of shape (n, k)
        """
        check_is_fitted(self)
        expanded = self._expand(self._table(X, reset=False) - self.mean_)
        return (expanded - self.expanded_mean_) @ self.components_.T

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Return the rows nearest to what features say, by the linear map of least squared error.

        Exact where the expansion is linear and no feature is left out.

        Parameters
        ----------
        Z : array-like of shape (n, k)
            Features.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        check_is_fitted(self)
        return self._shaped(self._codes(Z) @ self.mixing_.T + self.mean_)

    def slowness(self, X: Any) -> Array:
        """Return δ of each feature over rows in time order, in units of its variance there.

        Parameters
        ----------
        X : array-like of shape (moments, features)
            Rows in time order, 3 or more.

        Returns
        -------
        ndarray of shape (k,)
        """
        features = self.transform(X)
        if len(features) < 3:
            raise InputError("3 rows or more, in time order", str(len(features)), "pass a longer stretch")
        return np.square(np.diff(features, axis=0)).mean(0) / features.var(0)

    @available_if(_is_linear)
    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw rows in time order: features as Gaussian processes of first order with the δ learned, mixed.

        ``f_{t+1} = (1 - δ/2) f_t + noise``, of variance 1. For expansion "linear".

        Parameters
        ----------
        n_samples : int
            How many moments, 1 or more.
        random_state : int or generator, optional
            None draws anew.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        drawing = self._drawing(n_samples, random_state)
        memory = np.clip(1 - self.delta_ / 2, -1, 1)
        noise = drawing.standard_normal((n_samples, self.n_components_))
        features = noise.copy()
        for t in range(1, n_samples):
            features[t] = memory * features[t - 1] + np.sqrt(1 - memory**2) * noise[t]
        return self.inverse_transform(features)

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield the slowest features over time, and the latent map; of linear ones, the components too."""
        features = self.transform(data)[:2000]
        curves = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"feature {i + 1}, δ = {self.delta_[i]:.3g}",
                "x": list(range(len(features))),
                "y": floats(features[:, i]),
            }
            for i in range(min(4, features.shape[1]))
        ]
        layout = {"height": 380, "xaxis": axis("moment"), "yaxis": axis("feature")}
        caption = "The slowest features in the order of time. White noise has δ = 2; what is smaller has a memory."
        yield Exhibit("Slow features", caption, "answers", {"data": curves, "layout": layout})
        for exhibit in super().exhibits(data):
            if exhibit.title != "Components" or self.expansion == "linear":
                yield exhibit
