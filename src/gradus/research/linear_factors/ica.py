"""Independent component analysis: sources that were mixed linearly, found by their being independent (§13.2)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from sklearn.base import DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive, resolve_seed
from gradus.estimators.exhibit import Exhibit, axis, floats
from gradus.research.linear_factors.base import Array, LinearFactors
from gradus.research.linear_factors.fastica import FixedPoint, deflation, symmetric
from gradus.research.linear_factors.ica_density import Densities, learn_densities
from gradus.research.linear_factors.ica_likelihood import separate

__all__ = ["ICA", "amari_index"]

WARM = 100  # most FastICA iterations before maximum likelihood


def amari_index(unmixing: ArrayLike, mixing: ArrayLike) -> float:
    """Return how far ``P = W A`` is from a scaled permutation: 0 for sources separated in full, at most 1.

    ``(Σ_i (Σ_j |p_ij| / max_j |p_ij| - 1) + Σ_j (Σ_i |p_ij| / max_i |p_ij| - 1)) / (2 k (k - 1))``

    Parameters
    ----------
    unmixing : array-like of shape (k, features)
        What was found.
    mixing : array-like of shape (features, k)
        What was there, k of 2 or more.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If their product is not square with 2 rows or more.

    Examples
    --------
    >>> amari_index([[0.0, 3.0], [-1.0, 0.0]], np.eye(2)), amari_index([[1.0, 1.0], [1.0, 1.0]], np.eye(2))
    (0.0, 1.0)

    References
    ----------
    Amari, Cichocki & Yang 1996, A new learning algorithm for blind signal separation.
    """
    p = np.abs(np.asarray(unmixing, dtype=np.float64) @ np.asarray(mixing, dtype=np.float64))
    k = len(p)
    if p.shape != (k, k) or k < 2:
        raise InputError(
            "an unmixing of (k, features) and a mixing of (features, k)", f"a product of {p.shape}", "check"
        )
    rows, columns = p / p.max(1, keepdims=True), p / p.max(0, keepdims=True)
    return float((rows.sum() + columns.sum() - 2 * k) / (2 * k * (k - 1)))


def _has_densities(estimator: ICA) -> bool:
    return estimator.method == "likelihood"


@dataclass(kw_only=True, eq=False, repr=False)
class ICA(DensityMixin, LinearFactors):
    """Sources ``s = W (x - μ)`` that are as independent as a linear map can make them.

    "likelihood" maximizes ``log |det W| + Σ log p_i(s_i)`` over ``W`` and over smooth densities ``p_i`` learned from
    the sources themselves, so that flat, peaked, skewed and two-humped sources all separate without being told; it
    knows a density, and so scores and samples. "symmetric" and "deflation" are FastICA, with a contrast that is chosen
    beforehand: faster, somewhat less exact, without a density.

    Parameters
    ----------
    n_components : int, optional
        Number of sources; by default the rank of the covariance. With fewer, those of the first principal directions;
        the others hold Gaussian noise.
    method : {"likelihood", "symmetric", "deflation"}
        How they are found.
    contrast : {"logcosh", "exp", "cube"}
        Of FastICA, with which "likelihood" begins too: "logcosh" is the all-rounder, "exp" bears outliers best, "cube"
        is kurtosis and bears them worst.
    max_iter : int
        Most steps.
    tol : float
        Ends where no component turns by more.
    random_state : int or generator, optional
        Of the first unmixing.

    Attributes
    ----------
    components_ : ndarray of shape (k, features)
        **W**; the source with the greatest share of the variance first.
    mixing_ : ndarray of shape (features, k)
        The book's **W** in ``x = W h``: what a unit of each source, which has variance 1, adds to a row. Its largest
        number is positive.
    mean_ : ndarray of shape (features,)
    noise_variance_ : float
        Mean variance of the principal directions left out, 0 where none is.
    n_components_, n_iter_, seed_ : int
    log_likelihoods_ : list of float
        Of "likelihood": means a row, of whitened rows, each time densities were learned.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sources = np.stack([rng.uniform(size=5000), rng.laplace(size=5000)], 1)
    >>> mixing = np.array([[1.0, 2.0], [3.0, 1.0]])
    >>> model = ICA(random_state=0).fit(sources @ mixing.T)
    >>> amari_index(model.components_, mixing) < 0.02
    True

    References
    ----------
    Goodfellow et al. 2016, §13.2; Hyvärinen 1999 (FastICA); Pham & Garat 1997; Ablin, Cardoso & Gramfort 2018
    (preconditioning); Hastie & Tibshirani 2002 (densities that adapt).
    """

    n_components: int | None = option(None, "number of sources; by default the rank", low=1)
    method: Literal["likelihood", "symmetric", "deflation"] = option("likelihood", "how sources are found")
    contrast: Literal["logcosh", "exp", "cube"] = option("logcosh", "contrast of FastICA")
    max_iter: int = option(200, "most steps", unit="steps", low=1)
    tol: float = option(1e-4, "ends where no component turns by more", low=0)
    random_state: Any = option(None, "seed of the first unmixing")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the sources.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, height, width[, channels])
            Rows; their order does not matter.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self
        """
        self.check_settings()
        rows = self._table(X, reset=True)
        self.seed_ = resolve_seed(self.random_state)
        self.mean_ = rows.mean(0)
        centred = (rows - self.mean_).T
        whitening, coloring = self._whitening(centred)
        white = whitening @ centred
        k = self.n_components_ = len(white)
        start = np.random.default_rng(derive(self.seed_, "unmixing")).standard_normal((k, k))
        densities: Densities | None = None
        options: dict[str, Any] = {"contrast": self.contrast, "max_iter": self.max_iter, "tol": self.tol}
        if self.method == "likelihood":
            options |= {"max_iter": min(WARM, self.max_iter), "tol": max(self.tol, 1e-4)}
            separation = separate(
                white, symmetric(white, start, **options).unmixing, max_iter=self.max_iter, tol=self.tol
            )
            found = FixedPoint(separation.unmixing, separation.steps, separation.settled)
            densities = separation.densities
            self.log_likelihoods_ = separation.log_likelihoods
        else:
            found = (symmetric if self.method == "symmetric" else deflation)(white, start, **options)
        if not found.settled and self.max_iter > 1:
            message = f"ICA had not settled after {found.steps} steps; raise max_iter or tol"
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        self.n_iter_ = found.steps
        mixing = coloring @ np.linalg.inv(found.unmixing)
        order = np.argsort(-np.square(mixing).sum(0), kind="stable")
        mixing = mixing[:, order]
        largest = np.take_along_axis(mixing, np.abs(mixing).argmax(0)[None], 0)[0]
        signs = np.where(largest < 0, -1.0, 1.0)
        unmixing = found.unmixing[order] * signs[:, None]
        self.components_, self.mixing_ = unmixing @ whitening, mixing * signs
        if densities is not None:
            learned = learn_densities(unmixing @ white, densities.smoothness[order])
            self.density_low_, self.density_width_ = learned.low, learned.width
            self.density_log_, self.density_score_ = learned.log, learned.score
        return self

    def _whitening(self, centred: Array) -> tuple[Array, Array]:
        """Return what makes columns uncorrelated with variance 1, of shape (k, features), and its way back."""
        d, n = centred.shape
        if n < d:
            left, values, _ = np.linalg.svd(centred / np.sqrt(n), full_matrices=False)
            values = values**2
        else:
            values, left = eigh(centred @ centred.T / n, check_finite=False)
            values, left = values[::-1], left[:, ::-1]
        # Products of rows round at 1e-16 of the largest variance: directions below a few of these are no directions.
        rank = int((values > max(n, d) * np.finfo(np.float64).eps * max(values[0], 0)).sum())
        if rank == 0:
            raise InputError("rows that vary", "constant ones", "check how they were read")
        k = self._width(self.n_components, rank)
        left_out = max(float(np.square(centred).sum()) / n - float(values[:k].sum()), 0.0)
        self.noise_variance_ = left_out / (d - k) if k < rank else 0.0
        root = np.sqrt(values[:k])
        return left[:, :k].T / root[:, None], left[:, :k] * root

    def transform(self, X: Any) -> Array:
        """Return the sources of rows, ``s = W (x - μ)``; over the training rows each has variance 1.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        ndarray of shape (n, k)
        """
        check_is_fitted(self)
        return (self._table(X, reset=False) - self.mean_) @ self.components_.T

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Return the rows that sources mix to, ``x = μ + A s``.

        Parameters
        ----------
        Z : array-like of shape (n, k)
            Sources.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        check_is_fitted(self)
        return self._shaped(self._codes(Z) @ self.mixing_.T + self.mean_)

    @property
    def _densities(self) -> Densities:
        none = np.empty((self.n_components_, 0))
        return Densities(self.density_low_, self.density_width_, self.density_log_, self.density_score_, none, none)

    @available_if(_has_densities)
    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw independent sources from their densities, mix them, and add the noise; of method "likelihood".

        Parameters
        ----------
        n_samples : int
            How many rows, 1 or more.
        random_state : int or generator, optional
            None draws anew.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        drawing = self._drawing(n_samples, random_state)
        sources = np.stack([_draws(*row, drawing.random(n_samples)) for row in self._tables()], 1)
        rows = sources @ self.mixing_.T + self.mean_
        if self.noise_variance_ > 0:
            noise = drawing.standard_normal(rows.shape) * np.sqrt(self.noise_variance_)
            rows += noise - self._within(noise)
        return self._shaped(rows)

    def _within(self, rows: Array) -> Array:
        """Return what of centred rows lies in the directions that the sources are mixed to."""
        return (rows @ self.components_.T) @ self.mixing_.T

    def _tables(self) -> Iterator[tuple[Array, Array]]:
        """Yield places and density of each source."""
        cells = np.arange(self.density_log_.shape[1])
        for low, width, log in zip(self.density_low_, self.density_width_, self.density_log_, strict=True):
            yield np.sinh(low + width * cells), np.exp(log)

    @available_if(_has_densities)
    def score_samples(self, X: Any) -> Array:
        """Return ``log |det W| + Σ log p_i(s_i)`` of each row, in nats; of method "likelihood".

        Where there are fewer sources than directions, with the Gaussian of the directions left out.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        InputError
            If training rows had no variance in some direction: there is no density.
        """
        check_is_fitted(self)
        centred = self._table(X, reset=False) - self.mean_
        d, k = centred.shape[1], self.n_components_
        if k < d and self.noise_variance_ == 0:
            received = f"rank {k} of {d} columns"
            raise InputError("training rows that vary in every direction", received, "drop columns that others give")
        sources = centred @ self.components_.T
        volume = 0.5 * np.linalg.slogdet(self.components_ @ self.components_.T)[1]
        density = volume + self._densities.log_density(np.ascontiguousarray(sources.T)).sum(0)
        if k < d:
            off = np.square(centred - self._within(centred)).sum(1) / self.noise_variance_
            density -= 0.5 * (off + (d - k) * np.log(2 * np.pi * self.noise_variance_))
        return density

    @available_if(_has_densities)
    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-density of rows, in nats; of method "likelihood"."""
        return float(self.score_samples(X).mean())

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield what each source adds to a row, the sources' densities, and the latent map."""
        if self.method == "likelihood":
            curves = [
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"source {i + 1}",
                    "x": floats(s[::8]),
                    "y": floats(p[::8]),
                }
                for i, (s, p) in enumerate(self._tables())
                if i < 8
            ]
            layout = {"height": 380, "xaxis": axis("source", range=[-5, 5]), "yaxis": axis("density")}
            caption = (
                "What was learned of each source: peaked, flat, skewed or two-humped. A Gaussian cannot be told apart."
            )
            yield Exhibit("Densities of the sources", caption, "learning", {"data": curves, "layout": layout})
        yield from super().exhibits(data)


def _draws(places: Array, density: Array, uniform: Array) -> Array:
    """Return places at shares of a density's mass."""
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(places))])
    return np.interp(uniform * mass[-1], mass, places)
