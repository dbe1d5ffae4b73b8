"""Scaled sums over paths, for many sequences at once, and for few long ones cut into pieces.

A step of the recursion costs as much for one sequence as for a hundred. A long sequence is therefore cut: first every
piece's transfer matrix is found (what it makes of each state before it), all pieces at a time; then what enters each
piece from either side, one small product a piece; then the sums within all pieces at a time. So 100,000 steps take
about 1,200 operations, not 200,000, and the answer is the same.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradus.research.inference.sequences import Layout, layout_of

__all__ = ["Chain", "ScaledSums", "scaled_sums", "sums_in_pieces", "worth_cutting"]

LONG, NARROW, MOST_STATES = 400, 4096, 32  # steps; sequences times states; states squared are held for each step


class Chain(NamedTuple):
    r"""A Markov chain: :math:`p(z_1 = i)` of shape (states,), and :math:`p(z_{t+1} = j \mid z_t = i)`, row i."""

    start: Tensor
    transitions: Tensor


class ScaledSums(NamedTuple):
    """Packed results: log-likelihood of each step given those before it, forward sums, what follows, posteriors."""

    each: Tensor
    alpha: Tensor
    after: Tensor
    states: Tensor


def emitted_of(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Return emissions divided by the largest of their step, and its logarithm."""
    top = logs.amax(0)
    top = torch.where(top.isfinite(), top, 0.0)
    return (logs - top).exp_(), top


def scaled_sums(chain: Chain, logs: Tensor, layout: Layout, starts: Tensor, ends: Tensor | None) -> ScaledSums:
    """Run both recursions over packed steps.

    Parameters
    ----------
    chain : Chain
        Probabilities.
    logs : Tensor of shape (states, steps)
        Log-emissions, packed.
    layout : Layout
        How they are packed.
    starts : Tensor of shape (states, sequences)
        Distribution of each sequence's first state, in packed order.
    ends : Tensor of shape (states, sequences), optional
        What follows each sequence's last state, up to a factor, in packed order; nothing by default.
    """
    emitted, top = emitted_of(logs)
    forth = chain.transitions.to(logs.dtype)
    back = forth.T.contiguous()
    alpha, norms = torch.empty_like(emitted), torch.empty_like(top)
    spans = list(zip(layout.offsets, layout.active, strict=True))
    for t, (place, n) in enumerate(spans):
        here, norm = alpha[:, place : place + n], norms[place : place + n]
        if t:
            before = spans[t - 1][0]
            torch.mm(back, alpha[:, before : before + n], out=here)
            here.mul_(emitted[:, place : place + n])
        else:
            torch.mul(emitted[:, :n], starts, out=here)
        torch.sum(here, 0, out=norm)
        here.div_(norm)
    after = emitted.div_(norms)  # p(x_t | j) beta_t(j), once beta is known
    states = torch.empty_like(alpha)
    beta, reached = torch.ones_like(alpha[:, :0]), 0
    for place, n in reversed(spans):
        if n > reached:
            last = beta.new_ones(len(beta), n - reached)
            if ends is not None:
                last = ends[:, reached:n]
                last = last / (alpha[:, place + reached : place + n] * last).sum(0)
            beta, reached = torch.cat([beta, last], 1), n
        torch.mul(alpha[:, place : place + n], beta, out=states[:, place : place + n])
        follow = after[:, place : place + n].mul_(beta)
        if place:
            beta = forth @ follow
    return ScaledSums(norms.log().double().add_(top), alpha, after, states)


# ---- in pieces ----


def worth_cutting(layout: Layout, states: int) -> bool:
    """Whether sequences are so long and so few that pieces pay."""
    few = len(layout.source) / len(layout.active) * states <= NARROW
    return len(layout.active) >= LONG and few and states <= MOST_STATES


def sums_in_pieces(chain: Chain, logs: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `forward_backward` does, by way of pieces; likelihoods that are not finite where scaling fails.

    Returns
    -------
    Tensor of shape (sequences,), Tensor of shape (states, steps), Tensor of shape (states, states)
        Log-likelihoods, posteriors, expected transitions.
    """
    size = math.isqrt(len(layout.active)) + 1
    sizes = [[size] * (n // size) + ([n % size] if n % size else []) for n in layout.lengths]
    owner = torch.repeat_interleave(torch.tensor([len(each) for each in sizes]))
    part = layout_of([n for each in sizes for n in each])
    place = torch.empty_like(layout.source)
    place[layout.source] = torch.arange(len(place))
    index = place[part.source]  # pieces follow one another as their rows do
    cut = logs[:, index]
    first = torch.ones(len(owner), dtype=torch.bool)
    first[1:] = owner[1:] != owner[:-1]
    matrices, scales = _transfers(chain, cut, part, first)
    starts, ends = _borders(chain, matrices, scales, first.numpy())
    order = torch.from_numpy(part.order)
    like = cut.dtype
    sums = scaled_sums(chain, cut, part, starts.T[:, order].to(like), ends.T[:, order].to(like))
    likelihood = torch.zeros(len(layout.lengths), dtype=torch.float64)
    likelihood.index_add_(0, owner[part.sequence], sums.each)
    joint = (sums.alpha[:, part.before] @ sums.after[:, part.active[0] :].T).double()
    joint = joint + _across(sums, part, first)
    states = torch.empty_like(sums.states)
    states[:, index] = sums.states
    return likelihood, states, joint * chain.transitions.double()


def _transfers(chain: Chain, logs: Tensor, part: Layout, first: Tensor) -> tuple[NDArray, NDArray]:
    """Return what each piece makes of each state before it: shapes (pieces, before, last), (pieces, before)."""
    k, n_pieces = len(chain.start), len(part.lengths)
    emitted, _ = emitted_of(logs)
    forth = chain.transitions.to(logs.dtype)
    back = forth.T.contiguous()
    order = torch.from_numpy(part.order)
    now = back[:, None, :].repeat(1, n_pieces, 1)  # last state, piece, state before
    now[:, first[order]] = chain.start.to(logs.dtype)[:, None, None]
    scale = torch.zeros(n_pieces, k, dtype=torch.float64)
    tiny = torch.finfo(logs.dtype).tiny
    for t, (place, n) in enumerate(zip(part.offsets, part.active, strict=True)):
        here = now[:, :n]
        if t:
            here = (back @ here.reshape(k, n * k)).reshape(k, n, k)
        here = here * emitted[:, place : place + n, None]
        norm = here.sum(0)
        now[:, :n] = here / norm.clamp(min=tiny)
        scale[:n] += norm.double().log()
    matrices, scales = np.empty((n_pieces, k, k)), np.empty((n_pieces, k))
    matrices[part.order], scales[part.order] = now.permute(1, 2, 0).double().numpy(), scale.numpy()
    return matrices, scales


def _borders(chain: Chain, matrices: NDArray, scales: NDArray, first: NDArray) -> tuple[Tensor, Tensor]:
    """Return the distribution of each piece's first state given what lies before, and what follows its last one."""
    n_pieces, k = scales.shape
    moves, begun = chain.transitions.double().numpy(), chain.start.double().numpy()
    starts, ends = np.empty((n_pieces, k)), np.ones((n_pieces, k))
    last = np.full(k, 1 / k)
    with np.errstate(divide="ignore", invalid="ignore"):  # a path that is lost ends in NaN, which the caller sees
        for p in range(n_pieces):
            starts[p] = begun if first[p] else last @ moves
            weight = scales[p] + (0.0 if first[p] else np.log(last))
            last = np.exp(weight - weight.max()) @ matrices[p]
            last /= last.sum()
        for p in range(n_pieces - 2, -1, -1):
            if not first[p + 1]:
                found = np.exp(scales[p + 1] - scales[p + 1].max()) * (matrices[p + 1] @ ends[p + 1])
                ends[p] = found / found.max()
    return torch.from_numpy(starts), torch.from_numpy(ends)


def _across(sums: ScaledSums, part: Layout, first: Tensor) -> Tensor:
    """Return the joint sums of each piece's last state and the next one's first."""
    rank = torch.empty(len(part.order), dtype=torch.long)
    rank[torch.from_numpy(part.order)] = torch.arange(len(rank))
    final = torch.tensor([part.offsets[n - 1] for n in part.lengths]) + rank
    inside = ~first[1:]
    return (sums.alpha[:, final[:-1][inside]] @ sums.after[:, rank[1:][inside]].T).double()
