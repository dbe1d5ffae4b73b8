"""Evidence maximization: prior and noise of Bayesian linear regression learned from the rows themselves (§5.6)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.foundations.bayes import Belief, LinearStatistics, linear_posterior, squared_error

__all__ = ["EvidenceInfo", "EvidenceState", "evidence_init", "evidence_step"]

# Beyond these, sums of squares in double precision say no more: noise of a ten-thousandth of the targets' deviation,
# weights of no visible effect.
LEAST_NOISE, LEAST_EFFECT = 1e-8, 1e-10


class EvidenceState(NamedTuple):
    """Precisions that are being fitted.

    Attributes
    ----------
    prior_precision, noise_precision : Tensor
        The α and β of the literature.
    """

    prior_precision: Float[Tensor, ""]
    noise_precision: Float[Tensor, ""]


class EvidenceInfo(NamedTuple):
    """What a step saw before it moved.

    Attributes
    ----------
    posterior : Belief
        With the precisions of the state that the step began from.
    effective : Tensor
        γ: how many of the weights the rows settle, 0 to their number.
    change : Tensor
        Largest change of the logarithm of a precision.
    """

    posterior: Belief
    effective: Float[Tensor, ""]
    change: Float[Tensor, ""]


def evidence_init(
    statistics: LinearStatistics, *, prior_precision: float | None = None, noise_precision: float | None = None
) -> EvidenceState:
    """Return where to begin: as if all of the targets' variance were noise, and as much came from the weights.

    Parameters
    ----------
    statistics : LinearStatistics
        Of all rows.
    prior_precision, noise_precision : float, optional
        Those that are known.

    Examples
    --------
    >>> from gradus.foundations.bayes import linear_statistics
    >>> rows = linear_statistics(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([3.0, -3.0]).double())
    >>> [round(p.item(), 3) for p in evidence_init(rows)]
    [0.111, 0.111]
    """
    beta = 1 / _variance(statistics)
    spread = statistics.gram.diagonal().mean() / statistics.count
    alpha = beta * torch.where(spread > 0, spread, 1.0)
    known = (prior_precision, noise_precision)
    return EvidenceState(*(o if k is None else o.new_tensor(k) for o, k in zip((alpha, beta), known, strict=True)))


def _variance(statistics: LinearStatistics) -> Tensor:
    variance = statistics.square / statistics.count
    return torch.where(variance > 0, variance, 1.0)


def evidence_step(
    state: EvidenceState, statistics: LinearStatistics, *, fit_prior: bool = True, fit_noise: bool = True
) -> tuple[EvidenceState, EvidenceInfo]:
    r"""Move the precisions towards those that make the targets most likely.

    .. math:: \gamma = d - \alpha \operatorname{tr} \Lambda_n, \qquad \alpha \leftarrow \frac{\gamma}{\mu_n^\top \mu_n},
              \qquad \beta \leftarrow \frac{n - \gamma}{\lVert y - X \mu_n \rVert^2}

    At a fixed point, the slopes of `log_evidence` by both are zero. The prior is ``N(0, I / α)``. Where the rows show
    no effect or no noise, precisions end at a bound instead of infinity.

    Parameters
    ----------
    state : EvidenceState
        Where to begin.
    statistics : LinearStatistics
        Of all rows.
    fit_prior, fit_noise : bool
        Which of the two to move.

    Returns
    -------
    state : EvidenceState
        After the step.
    info : EvidenceInfo
        What it saw.

    Examples
    --------
    >>> from gradus.foundations.bayes import linear_statistics
    >>> x = torch.linspace(-1, 1, 50, dtype=torch.float64)
    >>> rows = linear_statistics(x[:, None], 2 * x + 0.1 * torch.sin(100 * x))
    >>> state = evidence_init(rows)
    >>> for _ in range(20):
    ...     state, info = evidence_step(state, rows)
    >>> round(info.effective.item(), 3), round(state.noise_precision.item() ** -0.5, 3)
    (1.0, 0.072)

    References
    ----------
    MacKay 1992, Bayesian Interpolation, §4.3; Bishop 2006, eq. 3.91-3.95.
    """
    alpha, beta = state
    size = len(statistics.cross)
    prior = Belief(torch.zeros_like(statistics.cross), alpha * torch.eye(size).to(statistics.gram))
    posterior = linear_posterior(prior, statistics, beta)
    effective = (size - alpha * posterior.covariance().diagonal().sum()).clamp(0, size)
    if fit_prior:
        most = beta * statistics.gram.diagonal().sum().clamp_min(torch.finfo(beta.dtype).tiny) / LEAST_EFFECT
        found = effective / posterior.mean.square().sum()
        alpha = torch.where(found.isfinite(), found, most).clamp(max=most)
        alpha = torch.where(alpha > 0, alpha, state.prior_precision)  # columns without spread settle nothing
    if fit_noise:
        least = LEAST_NOISE * _variance(statistics)
        left = (statistics.count - effective).clamp_min(torch.finfo(beta.dtype).eps * statistics.count)
        beta = 1 / torch.maximum(squared_error(posterior.mean, statistics) / left, least)
    moved = EvidenceState(alpha, beta)
    change = torch.stack([(a.log() - b.log()).abs() for a, b in zip(moved, state, strict=True)]).max()
    return moved, EvidenceInfo(posterior, effective, change)
