"""Sequence to sequence: a recurrent encoder and decoder over tokens, with or without attention (§10.4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.networks.checks import check_sizes, chosen
from gradus.networks.recurrent.attention import AdditiveAttention, DotAttention
from gradus.networks.recurrent.layers import State
from gradus.networks.recurrent.network import RecurrentNetwork
from gradus.networks.recurrent.sequences import check_lengths, valid_positions

__all__ = ["DecoderState", "Seq2Seq", "Translation"]

_CELLS = ("lstm", "gru", "rnn")


class DecoderState(NamedTuple):
    """What the decoder needs besides the next token; every tensor has the row first.

    Attributes
    ----------
    memory : Tensor of shape (rows, places, features)
        What the encoder made of the source; without attention one place, its summary.
    keys : Tensor of shape (rows, places, width)
        The memory as the attention scores it.
    valid : Tensor of shape (rows, places)
        Where the memory is no padding.
    recurrent : tuple of Tensor
        The decoder's recurrent state.
    """

    memory: Float[Tensor, "rows places features"]
    keys: Float[Tensor, "rows places width"]
    valid: Bool[Tensor, "rows places"]
    recurrent: State


class Translation(NamedTuple):
    """What the network returns under teacher forcing.

    Attributes
    ----------
    logits : Tensor of shape (batch, time, target_size)
        Unnormalized log-probabilities of the token that follows each given one.
    weights : Tensor of shape (batch, time, source_time) or None
        Attention over the source at each step, zero over its padding; ``None`` without attention.
    """

    logits: Float[Tensor, "batch time tokens"]
    weights: Float[Tensor, "batch time places"] | None


class Seq2Seq(nn.Module):
    r"""Encoder-decoder: :math:`p(y \mid x) = \prod_t p(y_t \mid y_{<t}, x)`.

    A bidirectional recurrent encoder reads the source. The decoder begins from a map of its summary and reads
    the tokens already said. Its context comes from

    - ``attention="additive"``: before a step, additive attention from the last hidden units; the context enters the
      step (Bahdanau et al.);
    - ``attention="dot"``: after a step, scaled dot product attention from the new hidden units; all steps of a
      training sequence are computed at once (Luong et al., global attention, without input feeding);
    - ``attention=None``: the encoder's summary, the same at every step, entering it (Cho et al.): the fixed-size
      context of the book's figure 10.12.

    Then ``logits = V tanh(W [h_t; c_t])``. Begun, fed and continued one token at a time it is the decoder that
    :func:`gradus.networks.decoding.greedy` and :func:`gradus.networks.decoding.beam` expect.

    Parameters
    ----------
    source_size, target_size : int
        Number of source and of target tokens, 1 or more.
    width : int
        Hidden units of the decoder's layers and of each direction of the encoder's.
    embedding : int, optional
        Width of the token embeddings; ``width`` by default.
    layers : int
        Recurrent layers of encoder and decoder each.
    cell : {"lstm", "gru", "rnn"}
        The recurrent unit.
    attention : {"additive", "dot", None}
        Where the context comes from.
    dropout : float
        Probability in ``[0, 1)`` with which embeddings and outputs of layers are dropped in training.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> network = Seq2Seq(20, 30, 16, attention="dot")
    >>> source, lengths = torch.randint(20, (2, 7)), torch.tensor([7, 4])
    >>> logits, weights = network(source, lengths, torch.randint(30, (2, 5)))
    >>> logits.shape, weights.shape, float(weights[1, :, 4:].detach().max())
    (torch.Size([2, 5, 30]), torch.Size([2, 5, 7]), 0.0)

    References
    ----------
    Goodfellow et al. 2016, §10.4, figure 10.12, §12.4.5.1; Cho et al. 2014; Bahdanau et al. 2015; Luong et al. 2015.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        width: int = 128,
        *,
        embedding: int | None = None,
        layers: int = 1,
        cell: str = "lstm",
        attention: str | None = "additive",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        chosen(cell, _CELLS, "cell")
        if attention is not None:
            chosen(attention, ("additive", "dot"), "attention")
        embedding = width if embedding is None else embedding
        check_sizes(source_size=source_size, target_size=target_size, width=width, embedding=embedding)
        self.source_size, self.target_size, self.attention = source_size, target_size, attention
        memory = 2 * width
        self.source_embedding = nn.Embedding(source_size, embedding)
        self.target_embedding = nn.Embedding(target_size, embedding)
        self.encoder = RecurrentNetwork(embedding, width, layers=layers, cell=cell, bidirectional=True, dropout=dropout)
        into_step = embedding if attention == "dot" else embedding + memory
        self.decoder = RecurrentNetwork(into_step, width, layers=layers, cell=cell, dropout=dropout)
        self.bridges = nn.ModuleList(nn.Linear(memory, layers * width) for _ in range(2 if cell == "lstm" else 1))
        self.attend: AdditiveAttention | DotAttention | None = None
        if attention is not None:
            kind = AdditiveAttention if attention == "additive" else DotAttention
            self.attend = kind(width, memory, width)
        self.readout = nn.Linear(width + memory, width)
        self.vocabulary = nn.Linear(width, target_size)
        self.dropout = nn.Dropout(dropout)

    def begin(self, source: Int[Tensor, "batch time"], lengths: Int[Tensor, " examples"] | None = None) -> DecoderState:
        """Encode the source and return the state in which the decoder begins.

        Parameters
        ----------
        source : Tensor of shape (batch, time)
            Tokens in ``[0, source_size)``, padded at the end with any of them.
        lengths : Tensor of shape (batch,), optional
            Number of valid tokens of each, 1 or more.

        Raises
        ------
        InputError
            If a shape or a token is out of range.
        """
        self._check_tokens(source, self.source_size, "source")
        check_lengths(lengths, *source.shape)
        outputs, last, _ = self.encoder(self.dropout(self.source_embedding(source)), lengths)
        # The hidden units of a recurrent step lie in (-1, 1); the cells of an LSTM do not.
        states = [bridge(last).unflatten(1, (self.decoder.parts, -1)) for bridge in self.bridges]
        recurrent = (torch.tanh(states[0]), *states[1:])
        if self.attend is None:
            memory = last[:, None]
            return DecoderState(memory, memory, torch.ones_like(memory[:, :, 0], dtype=torch.bool), recurrent)
        if lengths is None:
            valid = torch.ones_like(source, dtype=torch.bool)
        else:
            valid = valid_positions(lengths.to(source.device), source.shape[1])
        return DecoderState(outputs, self.attend.keys(outputs), valid, recurrent)

    def step(
        self, state: DecoderState, tokens: Int[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "rows tokens"], DecoderState]:
        """Feed one token to each row; return the logits of the next and the new state."""
        logits, _, state = self._decode(state, tokens[:, None])
        return logits[:, 0], state

    def forward(
        self,
        source: Int[Tensor, "batch source_time"],
        lengths: Int[Tensor, " examples"] | None,
        previous: Int[Tensor, "batch time"],
    ) -> Translation:
        """Return the logits at every step of a given target: teacher forcing.

        Parameters
        ----------
        source : Tensor of shape (batch, source_time)
            Source tokens.
        lengths : Tensor of shape (batch,) or None
            Number of valid source tokens of each.
        previous : Tensor of shape (batch, time)
            The token before each one to be predicted: the symbol for the beginning, then the target without
            its last token. Later tokens never change earlier logits, so targets may be padded with anything.

        Raises
        ------
        InputError
            If a shape or a token is out of range.
        """
        self._check_tokens(previous, self.target_size, "previous")
        logits, weights, _ = self._decode(self.begin(source, lengths), previous)
        return Translation(logits, weights)

    def _decode(self, state: DecoderState, previous: Tensor) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Run the decoder over tokens: logits, attention weights, and the state after them."""
        embedded = self.dropout(self.target_embedding(previous))
        steps = previous.shape[1]
        weights: Tensor | None = None
        if self.attend is None:
            context = state.memory.expand(-1, steps, -1)
            hidden, _, recurrent = self.decoder(torch.cat([embedded, context], 2), state=state.recurrent)
        elif self.attention == "dot":
            hidden, _, recurrent = self.decoder(embedded, state=state.recurrent)
            context, weights = self.attend(hidden, state.keys, state.memory, state.valid)
        else:
            recurrent, parts = state.recurrent, []
            for token in embedded.split(1, dim=1):
                query = recurrent[0][:, -1:]
                seen, looked = self.attend(query, state.keys, state.memory, state.valid)
                said, _, recurrent = self.decoder(torch.cat([token, seen], 2), state=recurrent)
                parts.append((said, seen, looked))
            hidden, context, weights = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        mixed = self.dropout(torch.tanh(self.readout(torch.cat([hidden, context], 2))))
        return self.vocabulary(mixed), weights, state._replace(recurrent=recurrent)

    @staticmethod
    def _check_tokens(tokens: Tensor, size: int, name: str) -> None:
        if tokens.ndim != 2 or tokens.shape[1] < 1:
            mend = "give one row of one token or more for each example"
            raise InputError(f"{name} of shape (batch, time)", str(tuple(tokens.shape)), mend)
        if tokens.numel():
            low, high = (int(bound) for bound in tokens.aminmax())
            if low < 0 or high >= size:
                mend = "pad with a token in that range, or make the network for more tokens"
                raise InputError(f"{name} tokens from 0 to {size - 1}", f"{low} to {high}", mend)
