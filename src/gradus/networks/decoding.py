"""Reading a sequence out of a model that predicts one token at a time: greedily, or by beam search.

A decoder is anything with ``begin`` and ``step`` as in :class:`Decoder`; recurrent networks and transformers alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.core.errors import InputError, SettingError

__all__ = ["Beams", "Decoded", "Decoder", "beam", "greedy", "select"]


@runtime_checkable
class Decoder(Protocol):
    """A model of ``p(next token | tokens so far, source)`` that keeps what it has read in a state.

    A state is tuples, named tuples, lists and dicts of tensors that have the row first; other values in it
    (``None``, a position that all rows share) belong to all rows.
    """

    def begin(self, source: Any, lengths: Tensor | None = None) -> Any:
        """Return the state of every row of ``source`` before the first token."""
        ...

    def step(self, state: Any, tokens: Tensor) -> tuple[Tensor, Any]:
        """Feed a token to each row: ``tokens`` of shape (rows,), logits of shape (rows, tokens)."""
        ...


class Decoded(NamedTuple):
    """One sequence for each example.

    Attributes
    ----------
    tokens : Tensor of shape (batch, time)
        The tokens said, filled up with the end token.
    lengths : Tensor of shape (batch,)
        How many were said, the end token included where it came before the limit.
    log_probability : Tensor of shape (batch,)
        Natural logarithm of their probability, nats.
    """

    tokens: Int[Tensor, "batch time"]
    lengths: Int[Tensor, " batch"]
    log_probability: Float[Tensor, " batch"]


class Beams(NamedTuple):
    """Several sequences for each example, best first.

    Attributes
    ----------
    tokens : Tensor of shape (batch, width, time)
        The tokens said, filled up with the end token.
    lengths : Tensor of shape (batch, width)
        How many were said, the end token included where it came before the limit; 0 where fewer sequences than
        ``width`` were found.
    log_probability : Tensor of shape (batch, width)
        Natural logarithm of their probability, nats; minus infinity where fewer were found.
    score : Tensor of shape (batch, width)
        What they are sorted by: ``log_probability`` over the length penalty.
    """

    tokens: Int[Tensor, "batch width time"]
    lengths: Int[Tensor, "batch width"]
    log_probability: Float[Tensor, "batch width"]
    score: Float[Tensor, "batch width"]

    @property
    def best(self) -> Decoded:
        """The first sequence of each example."""
        return Decoded(self.tokens[:, 0], self.lengths[:, 0], self.log_probability[:, 0])


def select(state: Any, rows: Int[Tensor, " chosen"]) -> Any:
    """Return a state with the given rows, in that order; a row may come several times.

    Examples
    --------
    >>> select({"h": torch.tensor([[1.0], [2.0]]), "position": 3}, torch.tensor([1, 1, 0]))
    {'h': tensor([[2.],
            [2.],
            [1.]]), 'position': 3}
    """
    if isinstance(state, Tensor):
        return state.index_select(0, rows) if state.ndim else state
    if isinstance(state, dict):
        return {key: select(value, rows) for key, value in state.items()}
    if isinstance(state, tuple | list):
        parts = [select(value, rows) for value in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    return state


def _check(source: Any, limit: int) -> int:
    if limit < 1:
        raise SettingError("a limit of 1 token or more", str(limit), "set for example limit=50")
    if not len(source):
        raise InputError("one example or more", "none", "leave empty batches out")
    return len(source)


@torch.no_grad()
def greedy(
    decoder: Decoder,
    source: Any,
    lengths: Tensor | None = None,
    *,
    begin_token: int,
    end_token: int,
    limit: int,
) -> Decoded:
    """Say the most probable token, again and again.

    Parameters
    ----------
    decoder : Decoder
        The model, in evaluation mode if it has dropout.
    source : Tensor
        What it is conditioned on, one row an example.
    lengths : Tensor of shape (batch,), optional
        Lengths of the sources.
    begin_token : int
        Fed first.
    end_token : int
        Ends a sequence.
    limit : int
        The largest number of tokens, 1 or more.

    Returns
    -------
    Decoded
        Tokens, lengths and log-probabilities.

    Raises
    ------
    SettingError
        If the limit is below 1.
    InputError
        If there are no examples.

    Examples
    --------
    >>> from gradus.networks.recurrent import Seq2Seq
    >>> network = Seq2Seq(20, 30, 16).eval()
    >>> said = greedy(network, torch.randint(20, (2, 7)), begin_token=0, end_token=1, limit=5)
    >>> said.tokens.shape[0], bool((said.log_probability < 0).all())
    (2, True)

    References
    ----------
    Goodfellow et al. 2016, §10.2.4 and §12.4.5; for beam search see :func:`beam`.
    """
    batch = _check(source, limit)
    state = decoder.begin(source, lengths)
    device = source.device if isinstance(source, Tensor) else None
    last = torch.full((batch,), begin_token, device=device)
    over = torch.zeros(batch, dtype=torch.bool, device=device)
    said, counts = [], torch.zeros(batch, dtype=torch.int64, device=device)
    log_probability = torch.zeros(batch, device=device)
    for _ in range(limit):
        logits, state = decoder.step(state, last)
        best, last = _log_probabilities(logits).max(1)
        log_probability = log_probability + best.masked_fill(over, 0)
        last = last.masked_fill(over, end_token)
        counts += ~over
        said.append(last)
        over = over | (last == end_token)
        if bool(over.all()):
            break
    return Decoded(torch.stack(said, 1), counts, log_probability)


def _log_probabilities(logits: Tensor) -> Tensor:
    """Normalize in single precision or better: sums over a sequence need the digits."""
    return logits.log_softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _penalty(length: int, strength: float) -> float:
    return ((5 + length) / 6) ** strength


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Gather hypotheses (axis 1) of tensors with or without a time axis."""
    return values.gather(1, index if values.ndim == 2 else index[:, :, None].expand(-1, -1, values.shape[2]))


def _merge(one: Beams, other: Beams) -> Beams:
    """Keep the best of two sets of sequences, as many as the first has."""
    joined = Beams(*(torch.cat(pair, 1) for pair in zip(one, other, strict=True)))
    order = joined.score.topk(one.score.shape[1], dim=1).indices
    return Beams(*(_pick(part, order) for part in joined))


def _none(log_probability: Tensor, limit: int, end_token: int) -> Beams:
    """Return no sequences yet, in the shape of the live ones."""
    tokens = torch.full((*log_probability.shape, limit), end_token, device=log_probability.device)
    nothing = torch.full_like(log_probability, -torch.inf)
    return Beams(tokens, torch.zeros_like(tokens[:, :, 0]), nothing, nothing)


@torch.no_grad()
def beam(
    decoder: Decoder,
    source: Any,
    lengths: Tensor | None = None,
    *,
    begin_token: int,
    end_token: int,
    limit: int,
    width: int = 4,
    length_penalty: float = 0.0,
) -> Beams:
    r"""Keep the ``width`` most probable beginnings at every length, and the best sequences that ended.

    Sequences are ranked by

    .. math:: \log p(y \mid x) \; / \; \left(\frac{5 + |y|}{6}\right)^{\lambda}

    with λ the length penalty. With as many beams as there are sequences this is exhaustive search; with one it is
    :func:`greedy`. The search stops as soon as no live beginning can still win. A sequence cut at the limit
    competes as it stands.

    Parameters
    ----------
    decoder : Decoder
        The model, in evaluation mode if it has dropout.
    source : Tensor
        What it is conditioned on, one row an example.
    lengths : Tensor of shape (batch,), optional
        Lengths of the sources.
    begin_token : int
        Fed first.
    end_token : int
        Ends a sequence.
    limit : int
        The largest number of tokens, 1 or more.
    width : int
        Number of beginnings kept, 1 or more.
    length_penalty : float
        λ, 0 or more: 0 ranks by probability, which favours short sequences; 1 roughly by the mean over tokens.

    Returns
    -------
    Beams
        ``width`` sequences for each example, best first; ``.best`` has the first.

    Raises
    ------
    SettingError
        If a setting is out of range.
    InputError
        If there are no examples.

    Examples
    --------
    >>> from gradus.networks.recurrent import Seq2Seq
    >>> network = Seq2Seq(20, 30, 16, attention="dot").eval()
    >>> found = beam(network, torch.randint(20, (2, 7)), begin_token=0, end_token=1, limit=5, width=3)
    >>> found.tokens.shape, bool((found.score.diff(dim=1) <= 0).all())
    (torch.Size([2, 3, 5]), True)

    References
    ----------
    Goodfellow et al. 2016, §10.2.4 and §12.4.5; Wu et al. 2016, eq. 14 (length penalty).
    """
    batch = _check(source, limit)
    if width < 1 or not length_penalty >= 0:
        received = f"width {width}, length_penalty {length_penalty}"
        raise SettingError("a width of 1 or more and a length_penalty of 0 or more", received, "set width=4")
    state = decoder.begin(source, lengths)
    rows = torch.arange(batch, device=source.device if isinstance(source, Tensor) else None)
    state = select(state, rows.repeat_interleave(width))
    last = torch.full((batch * width,), begin_token, device=rows.device)
    live = torch.full((batch, width), -torch.inf, device=rows.device)  # log-probabilities of the beginnings
    live[:, 0] = 0  # the beams begin equal, and one of them is enough
    done = _none(live, limit, end_token)
    tokens = done.tokens
    for t in range(limit):
        logits, state = decoder.step(state, last)
        log_p = _log_probabilities(logits).unflatten(0, (batch, width))
        size = log_p.shape[2]
        # Twice as many as beams: enough to go on with even if every other one ends.
        total, index = (live[:, :, None] + log_p).flatten(1).topk(min(2 * width, width * size))
        parent, token = index // size, index % size
        ended = token == end_token
        # An end counts if it ranks among the first `width`, as a beam that goes on must.
        finished = total[:, :width].masked_fill(~ended[:, :width], -torch.inf)
        said = _pick(tokens, parent[:, :width])
        counts = torch.full_like(said[:, :, 0], t + 1)
        done = _merge(done, Beams(said, counts, finished, finished / _penalty(t + 1, length_penalty)))
        live, order = total.masked_fill(ended, -torch.inf).topk(width)
        parent, token = _pick(parent, order), _pick(token, order)
        tokens = _pick(tokens, parent)
        tokens[:, :, t] = token
        # No log-probability grows and the penalty is largest at the limit: the best that may still come.
        bound = live[:, 0] / _penalty(limit, length_penalty)
        if bool((done.score[:, -1] >= bound).all()):
            break
        state = select(state, (rows[:, None] * width + parent).flatten())
        last = token.flatten()
    else:
        cut = torch.full_like(tokens[:, :, 0], limit)
        done = _merge(done, Beams(tokens, cut, live, live / _penalty(limit, length_penalty)))
    missing = done.log_probability == -torch.inf
    tokens = done.tokens.masked_fill(missing[:, :, None], end_token)
    return done._replace(tokens=tokens, lengths=done.lengths.masked_fill(missing, 0))
