"""Mean field for binary units that interact in pairs: coordinate ascent on the evidence lower bound (§19.4.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from gradus.core.errors import InputError

__all__ = [
    "BinarySparseCodingState",
    "MeanFieldInfo",
    "MeanFieldState",
    "PairwisePosterior",
    "VariationalInfo",
    "binary_sparse_coding_posterior",
    "binary_sparse_coding_step",
    "enumerate_pairwise",
    "iterated_modes_step",
    "mean_field_elbo",
    "mean_field_init",
    "mean_field_step",
]

MOST_UNITS = 20  # that are enumerated: a million states


class PairwisePosterior(NamedTuple):
    r"""An unnormalized posterior of binary units, :math:`\log \tilde p(h) = c + b^\top h + \tfrac12 h^\top J h`.

    The posterior of binary sparse coding is one, and so is an Ising model's; :math:`c` makes it a joint density
    :math:`\log p(v, h)`.

    Attributes
    ----------
    constant : Tensor of shape (rows,)
        :math:`c` of each example.
    bias : Tensor of shape (rows, units)
        :math:`b` of each example.
    coupling : Tensor of shape (units, units)
        :math:`J`, symmetric with a diagonal of zeros, shared by the examples.
    """

    constant: Tensor
    bias: Tensor
    coupling: Tensor


class MeanFieldState(NamedTuple):
    """Probability that each unit is on under the factorial posterior, shape (rows, units)."""

    probabilities: Tensor


class MeanFieldInfo(NamedTuple):
    """Evidence lower bound of each row **after** the step, in nats, and the largest change of a probability."""

    elbo: Tensor
    change: Tensor


def mean_field_elbo(state: MeanFieldState, posterior: PairwisePosterior) -> Float[Tensor, " rows"]:
    r"""Return :math:`\mathcal{L}(q) = \mathbb{E}_q \log \tilde p(h) + H(q)` of each row, in nats.

    Examples
    --------
    >>> even = PairwisePosterior(torch.zeros(1), torch.zeros(1, 3), torch.zeros(3, 3))
    >>> round(mean_field_elbo(MeanFieldState(torch.full((1, 3), 0.5)), even).item() / math.log(2), 4)
    3.0
    """
    q = state.probabilities
    expected = posterior.constant + (posterior.bias * q).sum(1) + 0.5 * ((q @ posterior.coupling) * q).sum(1)
    return expected - (torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q)).sum(1)


def mean_field_init(posterior: PairwisePosterior, generator: torch.Generator | None = None) -> MeanFieldState:
    """Return probabilities to begin from: those of units that do not interact, or with a generator, random ones."""
    if generator is None:
        return MeanFieldState(torch.sigmoid(posterior.bias))
    drawn = torch.rand(posterior.bias.shape, generator=generator, dtype=posterior.bias.dtype)
    return MeanFieldState(drawn.to(posterior.bias.device))


def mean_field_step(state: MeanFieldState, posterior: PairwisePosterior) -> tuple[MeanFieldState, MeanFieldInfo]:
    r"""Set each unit in turn to its best probability given the others; the bound never falls.

    :math:`\hat h_i = \sigma\bigl(b_i + \sum_{j \neq i} J_{ij} \hat h_j\bigr)`, the fixed-point equation 19.44.

    Parameters
    ----------
    state : MeanFieldState
        Old probabilities.
    posterior : PairwisePosterior
        What is approximated.

    Returns
    -------
    MeanFieldState
        New probabilities.
    MeanFieldInfo
        The bound they reach.

    Examples
    --------
    >>> twins = PairwisePosterior(torch.zeros(1), torch.zeros(1, 2), torch.tensor([[0.0, 3.0], [3.0, 0.0]]))
    >>> state = mean_field_init(twins)
    >>> for _ in range(50):
    ...     state, info = mean_field_step(state, twins)
    >>> [round(p, 2) for p in state.probabilities[0].tolist()]  # of two units that want to be on together
    [0.94, 0.94]

    References
    ----------
    Goodfellow et al. 2016, §19.4.1, eqs. 19.41-19.44.
    """
    q = state.probabilities.clone()
    for i in range(q.shape[1]):
        q[:, i] = torch.sigmoid(posterior.bias[:, i] + q @ posterior.coupling[:, i])
    new = MeanFieldState(q)
    change = (q - state.probabilities).abs().amax() if q.numel() else q.new_zeros(())
    return new, MeanFieldInfo(mean_field_elbo(new, posterior), change)


def iterated_modes_step(state: MeanFieldState, posterior: PairwisePosterior) -> tuple[MeanFieldState, MeanFieldInfo]:
    """Set each unit in turn to its more probable value given the others: MAP inference by coordinate ascent (§19.3).

    ``probabilities`` are then zeros and ones, the bound is their log-joint, and it never falls.

    Examples
    --------
    >>> twins = PairwisePosterior(torch.zeros(1), torch.zeros(1, 2) - 1, torch.tensor([[0.0, 3.0], [3.0, 0.0]]))
    >>> state, info = iterated_modes_step(MeanFieldState(torch.ones(1, 2)), twins)
    >>> state.probabilities.tolist(), info.elbo.item()
    ([[1.0, 1.0]], 1.0)

    References
    ----------
    Goodfellow et al. 2016, §19.3; Besag 1986 (iterated conditional modes).
    """
    h = state.probabilities.clone()
    for i in range(h.shape[1]):
        h[:, i] = (posterior.bias[:, i] + h @ posterior.coupling[:, i] > 0).to(h.dtype)
    new = MeanFieldState(h)
    return new, MeanFieldInfo(mean_field_elbo(new, posterior), (h - state.probabilities).abs().amax())


def enumerate_pairwise(
    posterior: PairwisePosterior,
) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows units"]]:
    r"""Return :math:`\log \sum_h \tilde p(h)` and the exact marginals, by going through all states.

    Raises
    ------
    InputError
        If there are more than 20 units.

    Examples
    --------
    >>> log_z, marginals = enumerate_pairwise(PairwisePosterior(torch.zeros(1), torch.zeros(1, 4), torch.zeros(4, 4)))
    >>> round(log_z.exp().item()), marginals.tolist()
    (16, [[0.5, 0.5, 0.5, 0.5]])
    """
    m = posterior.bias.shape[1]
    if m > MOST_UNITS:
        raise InputError(f"at most {MOST_UNITS} units to enumerate", str(m), "use mean_field_step")
    states = (torch.arange(1 << m)[:, None] >> torch.arange(m) & 1).to(posterior.bias)
    pairs = 0.5 * ((states @ posterior.coupling) * states).sum(1)
    logs = posterior.constant[:, None] + posterior.bias @ states.T + pairs
    log_z = logs.logsumexp(1)
    return log_z, (logs - log_z[:, None]).exp() @ states


# ---- binary sparse coding ----


class BinarySparseCodingState(NamedTuple):
    r"""Parameters of binary sparse coding: causes that are on or off, and what is seen as their sum with noise.

    :math:`p(h_i = 1) = \sigma(b_i)` and :math:`p(v \mid h) = \mathcal{N}(v; W h, \operatorname{diag} \beta^{-1})`.

    Attributes
    ----------
    weights : Tensor of shape (features, units)
        :math:`W`.
    bias : Tensor of shape (units,)
        :math:`b`, log-odds.
    precision : Tensor of shape (features,)
        :math:`\beta`.
    """

    weights: Tensor
    bias: Tensor
    precision: Tensor


class VariationalInfo(NamedTuple):
    """Evidence lower bound of each row under the **old** parameters and the new posterior, and that posterior."""

    elbo: Tensor
    posterior: MeanFieldState


def binary_sparse_coding_posterior(
    state: BinarySparseCodingState, V: Float[Tensor, "rows features"]
) -> PairwisePosterior:
    r"""Return :math:`\log p(v, h)` of binary sparse coding as a function of *h*.

    Parameters
    ----------
    state : BinarySparseCodingState
        The model.
    V : Tensor of shape (rows, features)
        What is seen.

    References
    ----------
    Goodfellow et al. 2016, §19.4.1, eqs. 19.19-19.21.
    """
    W, b, beta = state
    gram = W.T @ (beta[:, None] * W)
    empty = 0.5 * (beta.log() - math.log(2 * math.pi)).sum() - 0.5 * (V.square() @ beta) - softplus(b).sum()
    coupling = gram.diag().diag() - gram
    return PairwisePosterior(empty, b + (V * beta) @ W - 0.5 * gram.diag(), coupling)


def binary_sparse_coding_step(
    state: BinarySparseCodingState,
    V: Float[Tensor, "rows features"],
    factors: MeanFieldState | None = None,
    *,
    sweeps: int = 5,
    ridge: float = 1e-6,
) -> tuple[BinarySparseCodingState, VariationalInfo]:
    r"""One step of variational learning: sweeps of mean field, then the parameters in closed form.

    With :math:`\hat H` the probabilities and :math:`S = \sum_n \mathbb{E}[h h^\top]`,
    :math:`W = V^\top \hat H S^{-1}`, :math:`b = \operatorname{logit} \operatorname{mean} \hat H`, and
    :math:`1 / \beta_j = \operatorname{mean} \mathbb{E}(v_j - W_j h)^2`. The bound never falls when ``factors`` are
    those of the step before (and ``ridge`` is 0).

    Parameters
    ----------
    state : BinarySparseCodingState
        Old parameters.
    V : Tensor of shape (rows, features)
        What is seen.
    factors : MeanFieldState, optional
        Where the sweeps begin.
    sweeps : int
        Steps of mean field.
    ridge : float
        Added to the diagonal of *S*, in rows.

    References
    ----------
    Goodfellow et al. 2016, §19.4.1, eq. 19.9 and algorithm in the text of §19.4.
    """
    posterior = binary_sparse_coding_posterior(state, V)
    factors = mean_field_init(posterior) if factors is None else factors
    elbo = mean_field_elbo(factors, posterior)
    for _ in range(sweeps):
        factors, info = mean_field_step(factors, posterior)
        elbo = info.elbo
    q = factors.probabilities
    second = q.T @ q
    second = second - second.diag().diag() + q.sum(0).diag()
    eye = torch.eye(len(second), dtype=q.dtype, device=q.device)
    W = torch.linalg.solve(second + ridge * eye, q.T @ V).T
    rest = V - q @ W.T
    spread = rest.square().mean(0) + (q * (1 - q)).mean(0) @ W.square().T
    share = q.mean(0).clamp(1e-9, 1 - 1e-9)
    new = BinarySparseCodingState(W, torch.logit(share), 1 / spread.clamp(min=1e-300))
    return new, VariationalInfo(elbo, factors)
