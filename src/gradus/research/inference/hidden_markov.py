"""Hidden Markov models as pure functions: where to begin, a step of EM, and samples (§10.2, §19.2)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.research.inference.chains import Chain, Method, forward_backward
from gradus.research.inference.em import EMInfo
from gradus.research.inference.emissions import EmissionFamily
from gradus.research.inference.sequences import Layout

__all__ = [
    "HiddenMarkovState",
    "hidden_markov_init",
    "hidden_markov_step",
    "left_right_labels",
    "sample_hidden_markov",
]

STICKY = 1.0  # pseudo-counts in each transition of the first guess


class HiddenMarkovState(NamedTuple):
    """Parameters: those of the chain, and those of the emissions, of the type of their family."""

    chain: Chain
    emission: Any


def left_right_labels(layout: Layout, states: int, generator: torch.Generator | None = None) -> Int[Tensor, " steps"]:
    """Cut each sequence into as many pieces as there are states, of equal length, or of random ones.

    Returns
    -------
    Tensor of shape (steps,)
        Piece of each row of the concatenated sequences.

    Examples
    --------
    >>> from gradus.research.inference.sequences import layout_of
    >>> left_right_labels(layout_of([4, 2]), 2).tolist()
    [0, 0, 1, 1, 0, 1]
    """
    parts = []
    for n in layout.lengths:
        cuts = torch.arange(1, states) / states
        if generator is not None:
            cuts = torch.rand(states - 1, generator=generator).sort().values
        place = (torch.arange(n) + 0.5) / n
        parts.append(torch.searchsorted(cuts, place, right=True))
    return torch.cat(parts)


def hidden_markov_init(
    family: EmissionFamily,
    rows: Float[Tensor, "steps features"],
    layout: Layout,
    labels: Int[Tensor, " steps"],
    states: int,
    generator: torch.Generator,
    *,
    left_right: bool = False,
) -> HiddenMarkovState:
    """Return parameters from a first guess at the states.

    Parameters
    ----------
    family : EmissionFamily
        Form of the emissions.
    rows : Tensor of shape (steps, features)
        Rows, packed.
    layout : Layout
        How they are packed.
    labels : Tensor of shape (steps,), integers
        State of each row, packed.
    states : int
        Number of states.
    generator : torch.Generator
        For starts that need chance.
    left_right : bool
        Begin in the first state, and allow each state itself and the next only.
    """
    moves = torch.zeros(states, states, dtype=torch.float64)
    before, after = labels[layout.before], labels[layout.active[0] :]
    moves.index_put_((before, after), torch.ones(len(after), dtype=torch.float64), accumulate=True)
    start = torch.bincount(labels[: layout.active[0]], minlength=states).double() + STICKY
    moves = moves + STICKY
    if left_right:
        allowed = torch.eye(states, dtype=torch.float64) + torch.diag(torch.ones(states - 1, dtype=torch.float64), 1)
        moves = moves * allowed
        start = torch.zeros_like(start)
        start[0] = 1.0
    chain = Chain(start / start.sum(), moves / moves.sum(1, keepdim=True))
    return HiddenMarkovState(chain, family.init(rows, labels, states, generator))


def hidden_markov_step(
    state: HiddenMarkovState,
    family: EmissionFamily,
    rows: Float[Tensor, "steps features"],
    layout: Layout,
    *,
    method: Method = "auto",
    smoothing: float = 0.0,
) -> tuple[HiddenMarkovState, EMInfo]:
    r"""One step of EM (Baum and Welch): posteriors of states and transitions, then their shares.

    .. math::
        A_{ij} = \frac{\sum_t p(z_t = i, z_{t+1} = j \mid x) + a}{\sum_{j'} (\dots)}

    With all smoothing and floors at 0 the likelihood never falls.

    Parameters
    ----------
    state : HiddenMarkovState
        Old parameters.
    family : EmissionFamily
        Form of the emissions.
    rows : Tensor of shape (steps, features)
        Rows, packed, in the precision to compute in.
    layout : Layout
        How they are packed.
    method : {"auto", "scaled", "log"}
        As in `forward_backward`.
    smoothing : float
        *a*, pseudo-counts in each first state and transition that is possible at all.

    Returns
    -------
    HiddenMarkovState
        New parameters.
    EMInfo
        Log-likelihood of the old ones.

    References
    ----------
    Baum, Petrie, Soules & Weiss 1970; Rabiner 1989, eqs. 40-54.
    """
    chain = state.chain
    logs = family.log_densities(state.emission, rows)
    found = forward_backward(chain, logs, layout, method)
    begun = found.states[:, : layout.active[0]].sum(1).double() + smoothing * (chain.start > 0)
    moved = found.transitions + smoothing * (chain.transitions > 0)
    left = moved.sum(1, keepdim=True)
    transitions = torch.where(left > 0, moved / left.clamp(min=1e-300), chain.transitions)
    emission = family.maximize(state.emission, rows, found.states, logs)
    counts = found.states.sum(1).double()
    new = HiddenMarkovState(Chain(begun / begun.sum(), transitions), emission)
    return new, EMInfo(found.log_likelihood.sum(), counts)


def sample_hidden_markov(
    state: HiddenMarkovState, family: EmissionFamily, n: int, length: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n length features"], Int[Tensor, "n length"]]:
    """Draw sequences and their hidden states."""
    now = torch.multinomial(state.chain.start, n, replacement=True, generator=generator)
    path = [now]
    for _ in range(length - 1):
        now = torch.multinomial(state.chain.transitions[now], 1, generator=generator)[:, 0]
        path.append(now)
    states = torch.stack(path, 1)
    rows = family.sample(state.emission, states.reshape(-1), generator)
    return rows.reshape(n, length, -1), states
