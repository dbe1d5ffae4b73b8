"""Bayesian linear regression as an estimator: what is known of the weights, and how sure each prediction is (§5.6)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor, nn
from torch.distributions import Normal

from gradus.core.errors import InputError
from gradus.core.numbers import check_size
from gradus.core.options import option
from gradus.core.randomness import resolve_seed
from gradus.estimators.base import Estimator
from gradus.estimators.inputs import check_n_samples
from gradus.foundations.bayes import (
    Belief,
    LinearStatistics,
    isotropic_prior,
    linear_posterior,
    linear_statistics,
    log_evidence,
    merged,
    predictive,
)
from gradus.foundations.evidence import EvidenceState, evidence_init, evidence_step

__all__ = ["BayesianLinearRegression"]

Floats = NDArray[np.float64]


@dataclass(kw_only=True, eq=False, repr=False)
class BayesianLinearRegression(RegressorMixin, Estimator):
    r"""Linear regression with a Gaussian prior on the weights, and a posterior instead of a point.

    .. math:: y = b + w^\top x + \varepsilon, \quad \varepsilon \sim N(0, \beta^{-1}), \quad w \sim N(0, \alpha^{-1} I)

    and a flat prior on b. What is not given of α and β is learned by making the targets most likely (evidence
    maximization). The mean of the posterior is ridge regression with penalty α / β. One α serves all columns:
    those of different units are best standardized first.

    Parameters
    ----------
    prior_precision : float, optional
        α, in squared units of a feature over those of the target; learned by default.
    noise_precision : float, optional
        β, one over the variance of the noise; learned by default.
    fit_intercept : bool
        Whether there is b.
    max_iter : int
        Most steps of evidence maximization.
    tol : float
        It ends where no precision changes by a larger share than this.

    Attributes
    ----------
    coef_ : ndarray of shape (features,)
        Mean of w.
    covariance_ : ndarray of shape (features, features)
        Of w.
    intercept_ : float
        Mean of b.
    prior_precision_, noise_precision_ : float
        Those given, or learned.
    log_evidence_ : float
        Log probability density of all targets given X, with b integrated out over its flat prior of density 1; nats.
        With an intercept, compare it only with models that have one too.
    n_effective_ : float
        How many of the weights the rows settle (γ).
    n_iter_ : int
        Steps of evidence maximization; 1 where nothing was to learn.
    n_rows_ : float
        Rows seen, or the sum of their weights.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, scaled=True)
    >>> model = BayesianLinearRegression().fit(X[:300], y[:300])
    >>> mean, std = model.predict(X[300:], return_std=True)
    >>> within = np.abs(y[300:] - mean) < 1.96 * std
    >>> bool(0.9 < within.mean() < 1.0)
    True

    References
    ----------
    Goodfellow et al. 2016, §5.6, eq. 5.71-5.78; MacKay 1992, Bayesian Interpolation; Bishop 2006, §3.3 and §3.5.
    """

    prior_precision: float | None = option(None, "one over the prior variance of a weight; none learns it", above=0)
    noise_precision: float | None = option(None, "one over the variance of the noise; none learns it", above=0)
    fit_intercept: bool = option(True, "learn a constant too")
    max_iter: int = option(300, "most steps of evidence maximization", unit="steps", low=1)
    tol: float = option(1e-6, "share by which no precision changes in the last step", above=0)

    # -- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the posterior from rows.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        y : array-like of shape (n,)
            Targets.
        sample_weight : array-like of shape (n,), optional
            How often each row counts, 0 or more; their sum above 1.

        Returns
        -------
        self
        """
        for name in ("statistics_", "offset_"):
            if hasattr(self, name):
                delattr(self, name)
        return self._learn(X, y, sample_weight, reset=True)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from more rows: the posterior so far is the prior of what follows.

        The result is that of `fit` on all rows seen, up to rounding, in any order and any parts; what is learned of α
        and β is learned anew from all.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self
        """
        return self._learn(X, y, sample_weight, reset=not hasattr(self, "statistics_"))

    def _learn(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> Self:
        self.check_settings()
        least = 2 if reset else 1
        X, y = validate_data(self, X, y, reset=reset, dtype=np.float64, y_numeric=True, ensure_min_samples=least)
        y = np.asarray(y, dtype=np.float64)
        check_size("y", y)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        self._add(X, y, weights)
        count = float(self.statistics_[0, 0])
        if count <= 1:
            mend = "weights say how often a row counts: scale them up, or leave them out"
            raise InputError("sample weights with a sum above 1", f"{count:g}", mend)
        self._settle()
        return self

    def _add(self, X: Floats, y: Floats, weights: Floats | None) -> None:
        """Add rows to the sums, which are about the means where there is an intercept: nothing large cancels."""
        rows = torch.from_numpy(np.column_stack([X, y]))
        share = None if weights is None else torch.from_numpy(weights)
        offset = torch.zeros(rows.shape[1], dtype=rows.dtype)
        if self.fit_intercept:
            offset = rows.mean(0) if share is None else (share @ rows) / share.sum().clamp_min(1e-300)
        found = linear_statistics(rows[:, :-1] - offset[:-1], rows[:, -1] - offset[-1], share)
        if hasattr(self, "statistics_"):
            found, offset = self._combined(found, offset)
        self.offset_ = offset.numpy()
        self.statistics_ = _packed(found)

    def _combined(self, new: LinearStatistics, offset: Tensor) -> tuple[LinearStatistics, Tensor]:
        old, before = self._sums(), torch.from_numpy(self.offset_)
        total = merged(old, new)
        if not self.fit_intercept:
            return total, offset
        apart = offset - before
        # Sums about two means become sums about the mean of both by what the means differ (Chan et al. 1983).
        factor = old.count * new.count / total.count
        x, y = apart[:-1], apart[-1]
        between = LinearStatistics(torch.zeros_like(factor), factor * x.outer(x), factor * x * y, factor * y * y)
        return merged(total, between), before + apart * new.count / total.count

    def _sums(self) -> LinearStatistics:
        packed = torch.from_numpy(self.statistics_)
        return LinearStatistics(packed[0, 0], packed[1:-1, 1:-1], packed[1:-1, -1], packed[-1, -1])

    def _settle(self) -> None:
        """Learn precisions and posterior from the sums."""
        rows = self._sums()
        count = rows.count
        if self.fit_intercept:  # b takes up one row: what is left of the others is about their mean
            rows = rows._replace(count=count - 1)
        state = evidence_init(rows, prior_precision=self.prior_precision, noise_precision=self.noise_precision)
        open_ = {"fit_prior": self.prior_precision is None, "fit_noise": self.noise_precision is None}
        self.n_iter_, change = 0, math.inf
        while any(open_.values()) and change > self.tol and self.n_iter_ < self.max_iter:
            state, info = evidence_step(state, rows, **open_)
            change = float(info.change)
            self.n_iter_ += 1
        self.n_iter_ = max(self.n_iter_, 1)  # the closed form is one
        if any(open_.values()) and change > self.tol:
            mend = "Increase max_iter or tol, or give prior_precision or noise_precision."
            message = f"Evidence maximization did not converge in {self.max_iter} steps. {mend}"
            warnings.warn(message, ConvergenceWarning, stacklevel=4)
        self._keep(state, rows, float(count))

    def _keep(self, state: EvidenceState, rows: LinearStatistics, count: float) -> None:
        alpha, beta = (float(value) for value in state)
        prior = isotropic_prior(len(rows.cross), alpha)
        posterior = linear_posterior(prior, rows, beta)
        covariance = posterior.covariance()
        evidence = float(log_evidence(prior, rows, beta))
        self.prior_precision_, self.noise_precision_, self.n_rows_ = alpha, beta, count
        self.coef_, self.covariance_ = posterior.mean.numpy(), covariance.numpy()
        self.intercept_ = float(self.offset_[-1] - self.offset_[:-1] @ self.coef_) if self.fit_intercept else 0.0
        # The density of the mean of the targets, flat in b, is one; of the sum of squares about it, that of n - 1 rows.
        self.log_evidence_ = evidence - 0.5 * math.log(count) if self.fit_intercept else evidence
        self.n_effective_ = float(len(rows.cross) - alpha * covariance.diagonal().sum())

    # -- answering -------------------------------------------------------------------------------------------------

    def _belief(self) -> Belief:
        """Return the posterior of the weights, as the sums and precisions say."""
        prior = isotropic_prior(len(self.coef_), self.prior_precision_)
        precision = prior.precision + self.noise_precision_ * self._sums().gram
        return Belief(torch.from_numpy(self.coef_), precision)

    def _centred(self, X: ArrayLike) -> Tensor:
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float64)
        return torch.from_numpy(rows - self.offset_[:-1])

    def predict(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Return the mean of the prediction of each row, and if asked its standard deviation, noise included.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        return_std : bool
            Return the standard deviation too.

        Returns
        -------
        ndarray of shape (n,), or two of them
            In the target's units.
        """
        if return_std:
            found = self.predict_distribution(X)
            return found.mean.numpy(), found.stddev.numpy()
        return (self._centred(X) @ torch.from_numpy(self.coef_)).numpy() + self.offset_[-1]

    def predict_distribution(self, X: ArrayLike, noise: bool = True) -> Normal:
        """Return the distribution of the target of each row, noise and what is not known of the weights in one.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        noise : bool
            False leaves the noise out: the distribution of ``b + w·x``, which more rows would narrow.

        Returns
        -------
        torch.distributions.Normal
            Of batch shape (n,), float64.
        """
        found = predictive(self._belief(), self._centred(X), self.noise_precision_ if noise else None)
        constant = 1 / (self.n_rows_ * self.noise_precision_) if self.fit_intercept else 0.0
        return Normal(found.mean + self.offset_[-1], (found.variance + constant).sqrt())

    def log_density(self, X: ArrayLike, y: ArrayLike) -> Floats:
        """Return the log predictive density of each row's target, in nats.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        y : array-like of shape (n,)
            Their targets.

        Returns
        -------
        ndarray of shape (n,)
        """
        found = self.predict_distribution(X)
        targets = np.asarray(y, dtype=np.float64)
        if targets.shape != tuple(found.batch_shape):
            expected = f"y of shape {tuple(found.batch_shape)}, one target a row"
            raise InputError(expected, str(targets.shape), "pass y.ravel() if it has a second axis")
        return found.log_prob(torch.from_numpy(targets)).numpy()

    def sample_weights(self, n_samples: int = 1, random_state: Any = None) -> tuple[Floats, Floats]:
        """Draw weights and constants from the posterior: each is a plane that the rows allow.

        Parameters
        ----------
        n_samples : int
            How many, 1 or more.
        random_state : int or generator, optional
            None draws anew.

        Returns
        -------
        w : ndarray of shape (n_samples, features)
        b : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        drawing = np.random.default_rng(resolve_seed(random_state))
        count, width = check_n_samples(n_samples), len(self.coef_)
        factor = torch.linalg.cholesky(self._belief().precision)
        noise = torch.from_numpy(drawing.standard_normal((width, count)))
        weights = self.coef_ + torch.linalg.solve_triangular(factor.mT, noise, upper=True).mT.numpy()
        constants = np.zeros(count)
        if self.fit_intercept:
            spread = 1 / math.sqrt(self.n_rows_ * self.noise_precision_)
            constants = self.offset_[-1] - weights @ self.offset_[:-1] + spread * drawing.standard_normal(count)
        return weights, constants

    def sample(self, X: ArrayLike, n_samples: int = 1, random_state: Any = None) -> Floats:
        """Draw functions from the posterior and return their values at rows, without noise.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        n_samples, random_state
            As in `sample_weights`.

        Returns
        -------
        ndarray of shape (n_samples, n)
            One function a row, in the target's units.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float64)
        weights, constants = self.sample_weights(n_samples, random_state)
        return weights @ rows.T + constants[:, None]

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}


def _packed(rows: LinearStatistics) -> Floats:
    """Return the sums as one symmetric matrix of a constant, the features and the target."""
    width = len(rows.cross)
    packed = torch.zeros(width + 2, width + 2, dtype=torch.float64)
    packed[0, 0], packed[1:-1, 1:-1], packed[-1, -1] = rows.count, rows.gram, rows.square
    packed[1:-1, -1] = packed[-1, 1:-1] = rows.cross
    return packed.numpy()
