"""Mixtures of Bernoullis: EM for binary rows as `init` and `step` (§3.9.6, §19.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.research.inference.em import EMInfo
from gradus.research.inference.gaussian_moments import block_rows, normalize_

__all__ = [
    "BernoulliMixtureState",
    "average_row",
    "bernoulli_log_joint",
    "bernoulli_mixture_init",
    "bernoulli_mixture_step",
    "bernoulli_penalty",
    "sample_bernoullis",
]


class BernoulliMixtureState(NamedTuple):
    r"""Parameters of :math:`p(x) = \sum_k \pi_k \prod_j \mu_{kj}^{x_j} (1 - \mu_{kj})^{1 - x_j}`, float64.

    Attributes
    ----------
    weights : Tensor of shape (components,)
        :math:`\pi`.
    probabilities : Tensor of shape (components, features)
        :math:`\mu`.
    """

    weights: Tensor
    probabilities: Tensor


def bernoulli_log_joint(
    state: BernoulliMixtureState, X: Float[Tensor, "rows features"]
) -> Float[Tensor, "rows components"]:
    r"""Return :math:`\log \pi_k + \log p(x_n \mid k)` in nats; minus infinity where a row is impossible.

    Parameters
    ----------
    state : BernoulliMixtureState
        The mixture.
    X : Tensor of shape (rows, features)
        Zeros and ones.

    Examples
    --------
    >>> state = BernoulliMixtureState(torch.ones(1), torch.tensor([[0.5, 0.25]]))
    >>> bernoulli_log_joint(state, torch.tensor([[1.0, 0.0]])).exp().item()
    0.375
    """
    odds, offset, impossible = _terms(state)
    joint = torch.addmm(offset.to(X.dtype), X, odds.T.to(X.dtype))
    if impossible is not None:
        ones, zeros = (t.T.to(X.dtype) for t in impossible)
        joint = joint.masked_fill(X @ zeros + (1 - X) @ ones > 0, -torch.inf)
    return joint


def _terms(state: BernoulliMixtureState) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Return log-odds, log-priors of the row of zeros, and where columns are surely one or surely zero."""
    p = state.probabilities.double()
    ones, zeros = p >= 1, p <= 0
    sure = ones | zeros
    safe = torch.where(sure, 0.5, p)
    off = torch.where(sure, 0.0, torch.log1p(-safe))
    odds = torch.where(sure, 0.0, safe.log() - torch.log1p(-safe))
    offset = state.weights.double().log() + off.sum(1)
    return odds, offset, (ones, zeros) if bool(sure.any()) else None


def average_row(X: Float[Tensor, "rows features"]) -> Float[Tensor, " features"]:
    """Return each column's share of ones, half a row of each kind added: a column never seen on is not impossible.

    Examples
    --------
    >>> average_row(torch.tensor([[1.0, 0.0], [1.0, 0.0]])).numpy().round(2).tolist()
    [0.83, 0.17]
    """
    return (X.sum(0, dtype=torch.float64) + 0.5) / (len(X) + 1)


def bernoulli_mixture_init(
    X: Float[Tensor, "rows features"],
    labels: Int[Tensor, " rows"],
    components: int,
    smoothing: float = 1.0,
) -> BernoulliMixtureState:
    """Return the smoothed column means of given clusters, such as those of k-means.

    Parameters
    ----------
    X : Tensor of shape (rows, features)
        Zeros and ones.
    labels : Tensor of shape (rows,), integers
        Cluster of each row.
    components : int
        Number of clusters.
    smoothing : float
        As in `bernoulli_mixture_step`.

    Examples
    --------
    >>> X = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> bernoulli_mixture_init(X, torch.tensor([0, 0, 1]), 2, 0.0).probabilities.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    sums = torch.zeros(components, X.shape[1], dtype=torch.float64, device=X.device)
    sums.index_add_(0, labels, X.double())
    counts = torch.bincount(labels, minlength=components).double()
    return _maximize(counts, sums, average_row(X), smoothing)


def bernoulli_mixture_step(
    state: BernoulliMixtureState,
    X: Float[Tensor, "rows features"],
    smoothing: float = 1.0,
    overall: Float[Tensor, " features"] | None = None,
) -> tuple[BernoulliMixtureState, EMInfo]:
    r"""One step of EM, with pseudo-counts drawn from the columns' overall means.

    .. math::
        r_{nk} \propto \pi_k p(x_n \mid k), \quad
        \mu_{kj} = \frac{\sum_n r_{nk} x_{nj} + a \bar x_j}{\sum_n r_{nk} + a}, \quad
        \pi_k = \frac{\sum_n r_{nk} + a}{N + K a}

    The log-likelihood plus the log-density of the priors that the pseudo-counts stand for (`bernoulli_penalty`) never
    falls; with :math:`a = 0` the likelihood itself.

    Parameters
    ----------
    state : BernoulliMixtureState
        Old parameters.
    X : Tensor of shape (rows, features)
        Zeros and ones in the precision to compute in.
    smoothing : float
        *a*, in rows: 0 is maximum likelihood.
    overall : Tensor of shape (features,)
        :math:`\bar x`; `average_row` where absent.

    Returns
    -------
    BernoulliMixtureState
        New parameters.
    EMInfo
        Log-likelihood of the old ones.

    Examples
    --------
    >>> X = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> state = BernoulliMixtureState(torch.ones(2) / 2, torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
    >>> state, info = bernoulli_mixture_step(state, X, 0.0)
    >>> round(float(info.log_likelihood / 3), 3), state.weights.numpy().round(2).tolist()
    (-0.892, [0.66, 0.34])

    References
    ----------
    Goodfellow et al. 2016, §3.9.6, §19.2; Bishop 2006, §9.3.3; Juan & Vidal 2004 (smoothing).
    """
    k = len(state.weights)
    overall = average_row(X) if overall is None else overall
    counts = torch.zeros(k, dtype=torch.float64, device=X.device)
    sums = torch.zeros(k, X.shape[1], dtype=torch.float64, device=X.device)
    total = torch.zeros((), dtype=torch.float64, device=X.device)
    odds, offset, impossible = _terms(state)
    odds, offset = odds.to(X.dtype), offset.to(X.dtype)[:, None]
    for rows in X.split(8 * block_rows(X, X.shape[1] + 2 * k)):
        if impossible is None:
            shares = torch.addmm(offset, odds, rows.T)
        else:
            shares = bernoulli_log_joint(state, rows).T.contiguous()
        total += normalize_(shares).sum().double()
        counts += shares.sum(1).double()
        sums += shares @ rows
    return _maximize(counts, sums, overall, smoothing), EMInfo(total, counts)


def bernoulli_penalty(state: BernoulliMixtureState, overall: Float[Tensor, " features"], smoothing: float) -> Tensor:
    r"""Return the logarithm, up to a constant, of the priors that the pseudo-counts stand for.

    :math:`a \sum_k \left(\log \pi_k + \sum_j \bar x_j \log \mu_{kj} + (1 - \bar x_j) \log(1 - \mu_{kj})\right)`:
    a Dirichlet and Beta distributions.

    Examples
    --------
    >>> state = BernoulliMixtureState(torch.ones(1), torch.tensor([[0.5]]))
    >>> round(float(bernoulli_penalty(state, torch.tensor([0.5]), 2.0)), 4)
    -1.3863
    """
    p = state.probabilities
    fit = torch.xlogy(overall, p) + torch.xlogy(1 - overall, 1 - p)
    return smoothing * (state.weights.log().sum() + fit.sum())


def _maximize(counts: Tensor, sums: Tensor, overall: Tensor, smoothing: float) -> BernoulliMixtureState:
    smoothed = counts + smoothing
    drawn = smoothed[:, None] > 0
    p = torch.where(drawn, (sums + smoothing * overall) / smoothed[:, None].clamp(min=1e-300), overall)
    return BernoulliMixtureState(smoothed / smoothed.sum(), p.clamp(0, 1))


def sample_bernoullis(
    state: BernoulliMixtureState, component: Int[Tensor, " n"], generator: torch.Generator
) -> Float[Tensor, "n features"]:
    """Draw one row of zeros and ones of each of the given components.

    Examples
    --------
    >>> state = BernoulliMixtureState(torch.ones(2) / 2, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> sample_bernoullis(state, torch.tensor([1, 0]), torch.Generator().manual_seed(0)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    p = state.probabilities[component]
    return (torch.rand(p.shape, generator=generator, dtype=p.dtype) < p).to(p.dtype)
