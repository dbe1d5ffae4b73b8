r"""Bayesian linear regression in closed form: posterior, predictions, evidence (§5.6).

Targets are :math:`y = w^\top x + \varepsilon` with :math:`\varepsilon \sim N(0, \beta^{-1})` and a Gaussian prior of w.
Rows enter only by their sums (`LinearStatistics`), which add up: learning row by row, part by part or all at once is
the same. Precisions (inverse variances) are used throughout, as in the book; a prior of precision 0 is flat.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from gradus.core.errors import InputError, SettingError

__all__ = [
    "Belief",
    "LinearStatistics",
    "isotropic_prior",
    "linear_posterior",
    "linear_statistics",
    "log_evidence",
    "merged",
    "predictive",
    "squared_error",
]


class Belief(NamedTuple):
    """A Gaussian over weights.

    Attributes
    ----------
    mean : Tensor of shape (features,)
        The book's μ.
    precision : Tensor of shape (features, features)
        The book's inverse of Λ.
    """

    mean: Float[Tensor, " features"]
    precision: Float[Tensor, "features features"]

    def covariance(self) -> Float[Tensor, "features features"]:
        """Return the inverse of the precision."""
        return torch.cholesky_inverse(torch.linalg.cholesky(self.precision))

    def distribution(self) -> MultivariateNormal:
        """Return it as a distribution, to sample weights from."""
        return MultivariateNormal(self.mean, precision_matrix=self.precision)


class LinearStatistics(NamedTuple):
    """All that linear regression needs to know of rows: sums, of which `merged` adds two.

    Attributes
    ----------
    count : Tensor
        Number of rows, or sum of their weights.
    gram : Tensor of shape (features, features)
        ``Σ x xᵀ``.
    cross : Tensor of shape (features,)
        ``Σ x y``.
    square : Tensor
        ``Σ y²``.
    """

    count: Float[Tensor, ""]  # type: ignore[assignment]  # hides tuple.count, which nothing needs here
    gram: Float[Tensor, "features features"]
    cross: Float[Tensor, " features"]
    square: Float[Tensor, ""]


def linear_statistics(
    features: Float[Tensor, "rows features"],
    targets: Float[Tensor, " rows"],
    weights: Float[Tensor, " rows"] | None = None,
) -> LinearStatistics:
    """Sum up rows.

    Parameters
    ----------
    features : Tensor of shape (rows, features)
        For a constant, a column of ones. float64 is advised: sums of squares cancel.
    targets : Tensor of shape (rows,)
        In any unit.
    weights : Tensor of shape (rows,), optional
        How often each row counts, 0 or more.

    Raises
    ------
    InputError
        If shapes do not fit.

    Examples
    --------
    >>> linear_statistics(torch.tensor([[1.0], [2.0]]), torch.tensor([3.0, 5.0])).cross
    tensor([13.])
    """
    rows = (len(features),) if features.ndim == 2 else None
    if rows is None or targets.shape != rows or (weights is not None and weights.shape != rows):
        shapes = [tuple(t.shape) for t in (features, targets, weights) if t is not None]
        received = " and ".join(map(str, shapes))
        raise InputError("features of shape (rows, features), one target and weight a row", received, "reshape them")
    weighted = features if weights is None else features * weights.unsqueeze(1)
    count = targets.new_tensor(float(len(targets))) if weights is None else weights.sum()
    square = targets.square() if weights is None else weights * targets.square()
    return LinearStatistics(count, weighted.T @ features, weighted.T @ targets, square.sum())


def merged(first: LinearStatistics, second: LinearStatistics) -> LinearStatistics:
    """Return the statistics of the rows of both.

    Examples
    --------
    >>> one = linear_statistics(torch.ones(1, 1), torch.ones(1))
    >>> merged(one, one).count
    tensor(2.)
    """
    return LinearStatistics(*(a + b for a, b in zip(first, second, strict=True)))


def isotropic_prior(features: int, precision: float, dtype: torch.dtype = torch.float64) -> Belief:
    """Return ``N(0, I / precision)``: ridge regression's penalty is its precision over that of the noise.

    Examples
    --------
    >>> isotropic_prior(2, 4.0).covariance().diagonal().tolist()
    [0.25, 0.25]
    """
    if not precision >= 0 or features < 1:
        received = f"precision={precision}, features={features}"
        raise SettingError("a precision of 0 or more and 1 feature or more", received, "set for example precision=1.0")
    return Belief(torch.zeros(features, dtype=dtype), precision * torch.eye(features, dtype=dtype))


def linear_posterior(prior: Belief, statistics: LinearStatistics, noise_precision: Tensor | float) -> Belief:
    r"""Return the belief after rows were seen; a posterior may be the prior of the next rows.

    .. math:: \Lambda_n^{-1} = \Lambda_0^{-1} + \beta X^\top X, \qquad
              \mu_n = \Lambda_n (\Lambda_0^{-1} \mu_0 + \beta X^\top y)

    Parameters
    ----------
    prior : Belief
        Before.
    statistics : LinearStatistics
        Of the rows.
    noise_precision : Tensor or float
        β, one over the variance of the noise in squared units of the target; above 0.

    Returns
    -------
    Belief

    Raises
    ------
    InputError
        If the rows leave a direction open on which the prior is flat.

    Examples
    --------
    >>> rows = linear_statistics(torch.tensor([[1.0], [1.0]]).double(), torch.tensor([2.0, 4.0]).double())
    >>> linear_posterior(isotropic_prior(1, 2.0), rows, 1.0)  # two rows of mean 3; the prior stands for two of 0
    Belief(mean=tensor([1.5000], dtype=torch.float64), precision=tensor([[4.]], dtype=torch.float64))

    References
    ----------
    Goodfellow et al. 2016, §5.6, eq. 5.76-5.78 (there β = 1); Bishop 2006, eq. 3.50-3.51.
    """
    precision = prior.precision + noise_precision * statistics.gram
    right = prior.precision @ prior.mean + noise_precision * statistics.cross
    return Belief(_solve(_factor(precision), right), precision)


def _factor(precision: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(precision)
    if bool(failed):
        mend = "give the prior a precision above 0, or leave out columns that others add up to"
        raise InputError("rows and a prior that settle every weight", "a weight that neither settles", mend)
    return factor


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)


def predictive(
    belief: Belief, features: Float[Tensor, "rows features"], noise_precision: Tensor | float | None
) -> Normal:
    r"""Return the distribution of the target of each row: :math:`N(\mu^\top x, \beta^{-1} + x^\top \Lambda x)`.

    Parameters
    ----------
    belief : Belief
        Prior or posterior.
    features : Tensor of shape (rows, features)
        Rows.
    noise_precision : Tensor or float, optional
        β; None leaves the noise out: what is not known of the mean alone.

    Returns
    -------
    Normal
        Of batch shape (rows,).

    Examples
    --------
    >>> belief = Belief(torch.tensor([2.0]), torch.tensor([[4.0]]))
    >>> predictive(belief, torch.tensor([[1.0], [3.0]]), 1.0).variance
    tensor([1.2500, 3.2500])

    References
    ----------
    Goodfellow et al. 2016, §5.6, eq. 5.68; Bishop 2006, eq. 3.58-3.59.
    """
    whitened = torch.linalg.solve_triangular(_factor(belief.precision), features.T, upper=False)
    variance = whitened.square().sum(0)
    if noise_precision is not None:
        variance = variance + 1 / torch.as_tensor(noise_precision).to(variance)
    return Normal(features @ belief.mean, variance.sqrt())


def log_evidence(prior: Belief, statistics: LinearStatistics, noise_precision: Tensor | float) -> Float[Tensor, ""]:
    r"""Return :math:`\log p(y \mid X) = \log \int p(y \mid X, w)\, p(w)\, dw`, by which models are compared.

    .. math:: \tfrac12 \left( n \log \tfrac{\beta}{2 \pi} + \log |\Lambda_0^{-1}| - \log |\Lambda_n^{-1}|
              - \beta \lVert y - X \mu_n \rVert^2 - (\mu_n - \mu_0)^\top \Lambda_0^{-1} (\mu_n - \mu_0) \right)

    Parameters
    ----------
    prior : Belief
        With a precision above 0 in every direction: the evidence of a flat prior is not defined.
    statistics, noise_precision
        As in `linear_posterior`; of weighted rows, that of rows that often.

    Returns
    -------
    Tensor
        A scalar in nats; of densities, so that it depends on the target's unit.

    Examples
    --------
    >>> one = linear_statistics(torch.ones(1, 1).double(), torch.zeros(1).double())
    >>> log_evidence(isotropic_prior(1, 1.0), one, 1.0).item() == -0.5 * math.log(2 * math.pi * 2)  # variance 1 + 1
    True

    References
    ----------
    Bishop 2006, Pattern Recognition and Machine Learning, eq. 3.86; MacKay 1992, Bayesian Interpolation, §4.
    """
    posterior = linear_posterior(prior, statistics, noise_precision)
    beta = torch.as_tensor(noise_precision).to(statistics.gram)
    moved = posterior.mean - prior.mean
    penalty = moved @ prior.precision @ moved
    log_dets = [2 * _factor(each.precision).diagonal().log().sum() for each in (prior, posterior)]
    fit = statistics.count * (beta / (2 * math.pi)).log() - beta * squared_error(posterior.mean, statistics)
    return 0.5 * (fit + log_dets[0] - log_dets[1] - penalty)


def squared_error(mean: Float[Tensor, " features"], statistics: LinearStatistics) -> Float[Tensor, ""]:
    """Return ``Σ (y - wᵀ x)²`` of weights from the sums; rounding must not make it negative."""
    return (statistics.square - 2 * mean @ statistics.cross + mean @ statistics.gram @ mean).clamp_min(0)
