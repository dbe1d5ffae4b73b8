"""Exact inference in a chain of hidden states: forward and backward sums, and the best path (§10.2, §19.2).

Emissions come as a matrix, one column a step of a sequence, packed by `layout_of`: a step of the recursions handles
all sequences at once.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.research.inference.scaled_chains import Chain, scaled_sums, sums_in_pieces, worth_cutting
from gradus.research.inference.sequences import Layout, layout_of

__all__ = ["Chain", "ChainPosterior", "Method", "best_paths", "forward_backward"]

Method = Literal["auto", "scaled", "log"]


class ChainPosterior(NamedTuple):
    r"""What is known of the hidden states.

    Attributes
    ----------
    log_likelihood : Tensor of shape (sequences,), float64
        :math:`\log p(x)` in nats, in the order in which the sequences were given.
    states : Tensor of shape (states, steps)
        :math:`p(z_t = i \mid x)`, packed.
    transitions : Tensor of shape (states, states), float64
        Expected number of transitions, over all sequences.
    """

    log_likelihood: Tensor
    states: Tensor
    transitions: Tensor


def forward_backward(
    chain: Chain, log_emissions: Float[Tensor, "states steps"], layout: Layout, method: Method = "auto"
) -> ChainPosterior:
    r"""Sum over all paths: the likelihood, and the posterior of each state at each step.

    .. math::
        \alpha_t(j) = p(x_t \mid j) \sum_i \alpha_{t-1}(i) A_{ij}, \quad
        \beta_t(i) = \sum_j A_{ij} p(x_{t+1} \mid j) \beta_{t+1}(j), \quad
        p(z_t = i \mid x) \propto \alpha_t(i) \beta_t(i)

    Parameters
    ----------
    chain : Chain
        Probabilities; zeros forbid a transition.
    log_emissions : Tensor of shape (states, steps)
        :math:`\log p(x_t \mid i)` in nats, packed; float32 or float64, in which all is computed.
    layout : Layout
        How they are packed.
    method : {"auto", "scaled", "log"}
        ``"scaled"`` keeps :math:`\alpha_t` at sum one, and loses a sequence whose only paths underflow; ``"log"``
        never does, and is slower; ``"auto"`` scales, then does what was lost anew in logarithms.

    Returns
    -------
    ChainPosterior
        Likelihoods and posteriors; zeros for a sequence that no path can give, whose likelihood is minus infinity.

    Examples
    --------
    >>> chain = Chain(torch.tensor([1.0, 0.0]), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    >>> emissions = torch.tensor([[0.5, 0.2], [0.5, 0.8]]).log()  # one sequence of two steps
    >>> found = forward_backward(chain, emissions, layout_of([2]))
    >>> round(found.log_likelihood.exp().item(), 3), [round(p, 3) for p in found.states[1].tolist()]
    (0.25, [0.0, 0.8])

    References
    ----------
    Rabiner 1989, A tutorial on hidden Markov models; Goodfellow et al. 2016, §10.2.
    """
    if method == "log":
        return _in_logarithms(chain, log_emissions, layout)
    if worth_cutting(layout, len(chain.start)):
        whole = ChainPosterior(*sums_in_pieces(chain, log_emissions, layout))
        if bool(whole.log_likelihood.isfinite().all()):
            return whole
    found, alpha, after = _scaled(chain, log_emissions, layout)
    lost = ~found.log_likelihood.isfinite()
    kept = found.transitions
    if bool(lost.any()):
        columns = lost[layout.sequence]
        found.states[:, columns] = 0.0
        alpha[:, columns], after[:, columns] = 0.0, 0.0
        kept = _pairs(chain, alpha, after, layout)
        if method == "auto":
            part = layout_of([n for n, gone in zip(layout.lengths, lost.tolist(), strict=True) if gone])
            place = _columns(layout, columns, part)
            again = _in_logarithms(chain, log_emissions[:, place], part)
            found.states[:, place] = again.states
            found.log_likelihood[lost] = again.log_likelihood
            kept = kept + again.transitions
        else:
            found.log_likelihood[lost] = -torch.inf
    return ChainPosterior(found.log_likelihood, found.states, kept)


def _columns(layout: Layout, chosen: Tensor, part: Layout) -> Tensor:
    """Return the packed columns of chosen sequences in the order in which they are packed alone."""
    columns = chosen.nonzero()[:, 0]
    by_row = columns[layout.source[columns].argsort()]  # concatenated, in the order given
    return by_row[part.source]


def _scaled(chain: Chain, logs: Tensor, layout: Layout) -> tuple[ChainPosterior, Tensor, Tensor]:
    starts = chain.start.to(logs.dtype)[:, None].expand(-1, layout.active[0])
    sums = scaled_sums(chain, logs, layout, starts, None)
    likelihood = torch.zeros(len(layout.lengths), dtype=torch.float64, device=logs.device)
    likelihood.index_add_(0, layout.sequence, sums.each)
    transitions = _pairs(chain, sums.alpha, sums.after, layout)
    return ChainPosterior(likelihood, sums.states, transitions), sums.alpha, sums.after


def _pairs(chain: Chain, alpha: Tensor, after: Tensor, layout: Layout) -> Tensor:
    """Return the expected numbers of transitions from forward sums and what comes after."""
    joint = alpha[:, layout.before] @ after[:, layout.active[0] :].T
    return joint.double() * chain.transitions.double()


def _in_logarithms(chain: Chain, logs: Tensor, layout: Layout) -> ChainPosterior:
    start, moves = (t.to(logs.dtype).log() for t in chain)
    spans = list(zip(layout.offsets, layout.active, strict=True))
    alpha = torch.empty_like(logs)
    ends = torch.full((logs.shape[0], layout.active[0]), -torch.inf, dtype=logs.dtype, device=logs.device)
    for t, (place, n) in enumerate(spans):
        if t:
            before = spans[t - 1][0]
            paths = alpha[:, None, before : before + n] + moves[:, :, None]
            alpha[:, place : place + n] = paths.logsumexp(0) + logs[:, place : place + n]
        else:
            alpha[:, :n] = start[:, None] + logs[:, :n]
        ends[:, :n] = alpha[:, place : place + n]
    last = ends.logsumexp(0)  # in packed order
    joint = torch.empty_like(logs)
    transitions = torch.zeros_like(moves, dtype=torch.float64)
    beta = torch.zeros_like(ends[:, :0])
    possible = torch.where(last.isfinite(), last, 0.0)
    for t in range(len(spans) - 1, -1, -1):
        place, n = spans[t]
        if beta.shape[1] < n:
            beta = torch.cat([beta, beta.new_zeros(len(beta), n - beta.shape[1])], 1)
        joint[:, place : place + n] = alpha[:, place : place + n] + beta - possible[:n]
        if t:
            follow = logs[:, place : place + n] + beta
            before = spans[t - 1][0]
            paths = moves[:, :, None] + follow[None]
            pairs = alpha[:, None, before : before + n] + paths - possible[:n]
            transitions += pairs.exp().sum(2, dtype=torch.float64)
            beta = paths.logsumexp(1)
    likelihood = torch.empty(len(layout.lengths), dtype=torch.float64, device=logs.device)
    likelihood[torch.from_numpy(layout.order)] = last.double()
    return ChainPosterior(likelihood, joint.exp_(), transitions)


def best_paths(
    chain: Chain, log_emissions: Float[Tensor, "states steps"], layout: Layout
) -> tuple[Int[Tensor, " steps"], Float[Tensor, " sequences"]]:
    r"""Return the most probable path of each sequence (Viterbi), and its log-probability with the observations.

    .. math::
        \delta_t(j) = \log p(x_t \mid j) + \max_i \left(\delta_{t-1}(i) + \log A_{ij}\right)

    Parameters
    ----------
    chain, log_emissions, layout
        As in `forward_backward`.

    Returns
    -------
    Tensor of shape (steps,), Tensor of shape (sequences,)
        States, packed, and :math:`\max_z \log p(x, z)` in the order in which the sequences were given.

    Examples
    --------
    >>> chain = Chain(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
    >>> logs = torch.tensor([[0.9, 0.4, 0.9], [0.1, 0.6, 0.1]]).log()
    >>> best_paths(chain, logs, layout_of([3]))[0].tolist()
    [0, 0, 0]

    References
    ----------
    Viterbi 1967; Rabiner 1989, eqs. 30-35.
    """
    start, moves = (t.to(log_emissions.dtype).log() for t in chain)
    spans = list(zip(layout.offsets, layout.active, strict=True))
    source = torch.empty_like(log_emissions, dtype=torch.int16)
    ends = torch.empty(len(start), layout.active[0], dtype=log_emissions.dtype, device=log_emissions.device)
    score = start[:, None] + log_emissions[:, : layout.active[0]]
    ends[:] = score
    for place, n in spans[1:]:
        best, came = (score[:, None, :n] + moves[:, :, None]).max(0)
        score = best + log_emissions[:, place : place + n]
        source[:, place : place + n] = came.to(torch.int16)
        ends[:, :n] = score
    value, state = ends.max(0)
    path = torch.empty(log_emissions.shape[1], dtype=torch.long, device=log_emissions.device)
    for t in range(len(spans) - 1, -1, -1):
        place, n = spans[t]
        path[place : place + n] = state[:n]
        if t:
            came = source[:, place : place + n].gather(0, state[None, :n])[0].long()
            state[:n] = came
    likelihood = torch.empty(len(layout.lengths), dtype=torch.float64, device=log_emissions.device)
    likelihood[torch.from_numpy(layout.order)] = value.double()
    return path, likelihood
