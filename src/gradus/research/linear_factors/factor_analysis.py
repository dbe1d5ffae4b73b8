"""Probabilistic PCA and factor analysis: Gaussians whose covariance is a few factors and noise (§13.1)."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from sklearn.base import DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from gradus.core.errors import SettingError
from gradus.core.options import option
from gradus.core.randomness import derive, resolve_seed
from gradus.core.threads import matrix_threads
from gradus.estimators.exhibit import Exhibit
from gradus.research.linear_factors.base import Array, LinearFactors, signed
from gradus.research.linear_factors.em import climb, init, step, variances_of
from gradus.research.linear_factors.exhibits import pancake
from gradus.research.linear_factors.gaussian import LowRankGaussian, draw, log_density, posterior_means
from gradus.research.linear_factors.moments import Moments, Patterns, check_observed, moments, patterns

__all__ = ["FactorAnalysis", "ProbabilisticPCA"]


@dataclass(kw_only=True, eq=False, repr=False)
class _GaussianFactors(DensityMixin, LinearFactors):
    """Base of the two: ``x = μ + W h + ε`` with Gaussian factors and Gaussian noise."""

    _missing: ClassVar[bool] = True
    _isotropic: ClassVar[bool] = False

    n_components: int | None = option(None, "number of factors", low=1)
    max_iter: int = option(2000, "most steps of EM", unit="steps", low=1)
    tol: float = option(1e-6, "EM ends where a step gains less", unit="nats a row", low=0)
    accelerated: bool = option(True, "leap ahead along EM's steps where the likelihood allows")
    min_noise: float = option(1e-6, "least noise variance, as a share of the features' mean variance", above=0)

    @abstractmethod
    def _default_width(self, d: int) -> int:
        """Return the number of factors where none is asked for."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find mean, loadings and noise of the greatest likelihood.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, height, width[, channels])
            Rows; NaN where not observed.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self
        """
        self.check_settings()
        rows = self._table(X, reset=True)
        n, d = rows.shape
        k = self._width(self.n_components, min(n, d), self._default_width(d))
        gaps = np.isnan(rows)
        data: Moments | Patterns
        if gaps.any():
            check_observed(gaps)
            data = patterns(rows)
            scale = float(np.nanvar(rows, 0).mean())
        else:
            data = moments(rows)
            scale = float(data.variances.mean())
        self.n_components_ = k
        self._learn(data, k, self.min_noise * scale or np.finfo(np.float64).tiny ** 0.5)
        return self

    def _learn(self, data: Moments | Patterns, k: int, floor: float) -> None:
        self._climb(data, k, floor)

    def _starts(self, data: Moments | Patterns, k: int, options: dict[str, Any]) -> Iterator[LowRankGaussian]:
        """Yield where EM begins."""
        yield init(data, k, **options)

    def _climb(self, data: Moments | Patterns, k: int, floor: float) -> None:
        options: dict[str, Any] = {"isotropic": self._isotropic, "floor": floor}
        take = partial(step, data=data, expanded=self.accelerated, **options)
        settings: dict[str, Any] = {"max_iter": self.max_iter, "tol": self.tol, "accelerated": self.accelerated}
        d = len(data.mean if isinstance(data, Moments) else data.shift)
        with matrix_threads(d * d * k):
            climbs = [climb(start, take, floor=floor, **settings) for start in self._starts(data, k, options)]
        found = max(climbs, key=lambda each: each.log_likelihoods[-1])
        if not found.settled and self.max_iter > 1:
            message = f"EM had not settled after {found.steps} steps; raise max_iter or tol"
            warnings.warn(message, ConvergenceWarning, stacklevel=4)
        self._keep(found.state, step(found.state, data, **options)[1].log_likelihood)
        self.log_likelihoods_ = [*found.log_likelihoods, self.log_likelihood_]
        self.n_iter_ = found.steps

    def _keep(self, model: LowRankGaussian, log_likelihood: float) -> None:
        """Keep a model with its factors turned so that, given rows, they are uncorrelated, strongest first."""
        weighted = model.loadings / np.sqrt(model.noise)[:, None]
        _, vectors = np.linalg.eigh(weighted.T @ weighted)
        self.mean_, self.components_ = model.mean, signed((model.loadings @ vectors[:, ::-1]).T)
        self.noise_variance_: Any = model.noise
        self.log_likelihood_ = float(log_likelihood)

    @property
    def _model(self) -> LowRankGaussian:
        check_is_fitted(self)
        noise = np.broadcast_to(np.asarray(self.noise_variance_, dtype=np.float64), self.mean_.shape)
        return LowRankGaussian(self.mean_, self.components_.T, noise)

    def transform(self, X: Any) -> Array:
        """Return the posterior means of the factors, ``E[h | x]``, given what is observed.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows; NaN where not observed.

        Returns
        -------
        ndarray of shape (n, k)
        """
        model = self._model
        return posterior_means(model, self._table(X, reset=False))

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Return the means of rows with given factors: ``E[x | h] = μ + W h``.

        Of factors from `transform` these are the expected rows, gaps filled.

        Parameters
        ----------
        Z : array-like of shape (n, k)
            Factors.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        model = self._model
        return self._shaped(model.mean + self._codes(Z) @ model.loadings.T)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw rows: factors, then noise.

        Parameters
        ----------
        n_samples : int
            How many, 1 or more.
        random_state : int or generator, optional
            None draws anew.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        drawing = self._drawing(n_samples, random_state)
        return self._shaped(draw(self._model, n_samples, drawing))

    def score_samples(self, X: Any) -> Array:
        """Return the log-density of each row's observed values, in nats.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows; NaN where not observed: those values are integrated out.

        Returns
        -------
        ndarray of shape (n,)
        """
        model = self._model
        return log_density(model, self._table(X, reset=False))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-density of rows, in nats."""
        return float(self.score_samples(X).mean())

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield the components, the manifold view and the latent map."""
        lengths = np.square(self.components_).sum(1)
        yield pancake(np.sort(lengths)[::-1], float(np.mean(self.noise_variance_)))
        yield from super().exhibits(data)


@dataclass(kw_only=True, eq=False, repr=False)
class ProbabilisticPCA(_GaussianFactors):
    """Principal components as a Gaussian: ``x ~ N(μ, W Wᵀ + σ² I)``; rows may have gaps.

    Without gaps the maximum is known: ``W = U (Λ - σ² I)^{1/2}`` with the first eigenvectors and eigenvalues of the
    covariance (over n), and σ² the mean of the other eigenvalues. With gaps, or on request, EM climbs there.

    Parameters
    ----------
    n_components : int, optional
        Number of factors; by default one less than the features (or rows).
    method : {"auto", "closed", "em"}
        "auto" is closed where all values are observed.
    max_iter, tol, accelerated
        Of EM: `gradus.research.linear_factors.em.climb`.
    min_noise : float
        Least σ², as a share of the features' mean variance.

    Attributes
    ----------
    components_ : ndarray of shape (k, features)
        The columns of the book's **W**, strongest first.
    mean_ : ndarray of shape (features,)
        The book's **b**.
    noise_variance_ : float
        σ².
    log_likelihood_ : float
        Mean of the training rows, in nats.
    log_likelihoods_ : list of float
        Of the states EM passed; never falling.
    n_components_, n_iter_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> model = ProbabilisticPCA(n_components=2).fit(X)
    >>> round(model.score(X), 3), round(float(model.noise_variance_), 4)
    (-2.7, 0.0507)
    >>> X[0, 2] = np.nan
    >>> filled = model.inverse_transform(model.transform(X[:1]))
    >>> float(filled[0, 2].round(1))
    1.6

    References
    ----------
    Goodfellow et al. 2016, §13.1; Tipping & Bishop 1999, Probabilistic principal component analysis, eqs. 7-8, §3.
    """

    _isotropic: ClassVar[bool] = True

    method: Literal["auto", "closed", "em"] = option("auto", "closed form, or EM")

    def _default_width(self, d: int) -> int:
        return d - 1

    def _learn(self, data: Moments | Patterns, k: int, floor: float) -> None:
        if self.method == "closed" and isinstance(data, Patterns):
            raise SettingError("method='em' where values are missing", "'closed'", "leave method out")
        if self.method == "em" or isinstance(data, Patterns):
            self._climb(data, k, floor)
            self.noise_variance_ = float(self.noise_variance_[0])
            return
        d = len(data.mean)
        if data.rows is not None:
            _, values, right = np.linalg.svd(data.rows, full_matrices=False)
            values, vectors = values[:k] ** 2, right[:k].T
        else:
            values, vectors = eigh(data.covariance, subset_by_index=(d - k, d - 1))
        left = float(data.variances.sum() - values.sum())
        noise = max(left / (d - k) if k < d else 0.0, floor)
        loadings = vectors * np.sqrt(np.maximum(values - noise, 0))
        model = LowRankGaussian(data.mean, loadings, np.full(d, noise))
        self._keep(model, step(model, data, isotropic=True, floor=floor)[1].log_likelihood)
        self.log_likelihoods_, self.n_iter_ = [self.log_likelihood_], 1
        self.noise_variance_ = noise


@dataclass(kw_only=True, eq=False, repr=False)
class FactorAnalysis(_GaussianFactors):
    """A Gaussian of few factors, and noise of its own for each feature: ``x ~ N(μ, W Wᵀ + diag ψ)``; gaps allowed.

    EM on the covariance: one pass over the rows, after which a step costs features² times factors however many rows
    there were. Parameter expansion and squared extrapolation take a tenth of plain EM's steps or less; the likelihood
    never falls. It may have several optima: `gradus.research.linear_factors.em.init` says where EM begins, and
    ``n_init`` asks for other beginnings.

    Parameters
    ----------
    n_components : int, optional
        Number of factors; by default the most that features can identify, ``(d - k)² >= d + k``.
    max_iter, tol, accelerated
        Of EM: `gradus.research.linear_factors.em.climb`.
    min_noise : float
        Least ψ, as a share of the features' mean variance: where a factor takes over one feature, its ψ would go to 0.
    n_init : int
        How many beginnings to climb from; the best end is kept. The second takes loadings and noise in turns a few
        times first, from noise as large as the variances; later ones from random shares of them.
    random_state : int or generator, optional
        Of the third beginning and later ones.

    Attributes
    ----------
    components_ : ndarray of shape (k, features)
        The columns of the book's **W**, turned so that ``W ᵀ ψ⁻¹ W`` is diagonal and falls: a rotation, which the
        likelihood does not see.
    mean_ : ndarray of shape (features,)
        The book's **b**.
    noise_variance_ : ndarray of shape (features,)
        ψ, the book's σ².
    log_likelihood_ : float
        Mean of the training rows, in nats.
    log_likelihoods_ : list of float
        Of the states EM passed; never falling.
    n_components_, n_iter_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> model = FactorAnalysis(n_components=1).fit(X)
    >>> model.transform(X).shape, model.noise_variance_.round(2).tolist()
    ((150, 1), [0.16, 0.15, 0.0, 0.04])

    References
    ----------
    Goodfellow et al. 2016, §13.1; Rubin & Thayer 1982; Liu, Rubin & Wu 1998; Varadhan & Roland 2008.
    """

    n_init: int = option(1, "beginnings to climb from, of which the best end is kept", low=1)
    random_state: Any = option(None, "seed of the third beginning and later ones")

    def _starts(self, data: Moments | Patterns, k: int, options: dict[str, Any]) -> Iterator[LowRankGaussian]:
        yield init(data, k, **options)
        self.seed_ = resolve_seed(self.random_state)
        drawing = np.random.default_rng(derive(self.seed_, "beginnings"))
        variances = np.maximum(variances_of(data)[0], options["floor"])
        for i in range(1, self.n_init):
            share = np.exp(-2 * drawing.random(len(variances))) if i > 1 else 1.0
            yield init(data, k, noise=variances * share, rounds=3, **options)

    def _default_width(self, d: int) -> int:
        return int((2 * d + 1 - np.sqrt(8 * d + 1)) / 2)
