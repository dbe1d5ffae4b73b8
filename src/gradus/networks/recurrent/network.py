"""Recurrent networks over padded batches: deep, bidirectional, with torch's cells or several time scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_rate, check_sizes, chosen
from gradus.networks.recurrent.layers import INITIALIZATIONS, LeakyLayer, MultiscaleLayer, State, UnrolledLayer
from gradus.networks.recurrent.sequences import check_lengths, check_sequences, last_valid, reverse, valid_positions

__all__ = ["CELLS", "POOLINGS", "Recurrence", "RecurrentNetwork", "SequenceFeatures", "detached"]

CELLS = ("lstm", "gru", "rnn", "leaky", "multiscale")
POOLINGS = ("last", "mean", "max")
_FUSED: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class Recurrence(NamedTuple):
    """What a recurrent network returns.

    Attributes
    ----------
    outputs : Tensor of shape (batch, time, width * directions)
        Hidden units of the last layer after every step, forward direction first; zero in the padding.
    last : Tensor of shape (batch, width * directions)
        The same after each direction's last valid step: the summary of a whole sequence.
    state : tuple of Tensor
        What the next chunk of the same sequences begins with. Each tensor has the shape
        ``(batch, layers * directions, width)``: hidden units; for an LSTM then its cells; for multi-scale units
        then their clocks, ``(batch, layers * directions)``.
    """

    outputs: Float[Tensor, "batch time width"]
    last: Float[Tensor, "batch width"]
    state: State


def detached(state: State) -> State:
    """Cut a state off the graph that made it: truncated back-propagation through time.

    Examples
    --------
    >>> network = RecurrentNetwork(2, 4, cell="gru")
    >>> x, state = torch.zeros(1, 6, 2), None
    >>> for chunk in x.split(3, dim=1):
    ...     outputs, _, state = network(chunk, state=state)
    ...     state = detached(state)
    >>> state[0].requires_grad
    False
    """
    return tuple(part.detach() for part in state)


def _initialize_fused(core: nn.RNNBase, gates: int) -> None:
    """Orthogonal recurrent, Glorot input weights gate by gate; biases zero but at the gates that keep."""
    width = core.hidden_size
    for name, parameter in core.named_parameters():
        if name.startswith("weight_hh"):
            for block in parameter.data.chunk(gates):
                nn.init.orthogonal_(block)
        elif name.startswith("weight_ih"):
            for block in parameter.data.chunk(gates):
                nn.init.xavier_uniform_(block)
        else:
            nn.init.zeros_(parameter)
            if gates > 1 and name.startswith("bias_ih"):
                # The second gate is an LSTM's forget gate, and a GRU's update gate, which in torch keeps as well.
                parameter.data[width : 2 * width] = 1.0


class _Unrolled(nn.Module):
    """Layers and directions of unrolled cells, with the calling convention of torch's fused ones."""

    def __init__(self, layers: Sequence[Sequence[UnrolledLayer]], dropout: float) -> None:
        super().__init__()
        self.directions = len(layers[0])
        self.layers = nn.ModuleList(nn.ModuleList(directions) for directions in layers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, lengths: Tensor | None, state: State | None) -> tuple[Tensor, State]:
        valid = None
        if lengths is not None:
            lengths = lengths.to(inputs.device)
            valid = valid_positions(lengths, inputs.shape[1])
            # Padding may hold anything, and zero times NaN would be NaN in the gradient.
            inputs = inputs.masked_fill(~valid[:, :, None], 0)
        ends: list[State] = []
        for depth, directions in enumerate(self.layers):
            inputs = self.dropout(inputs) if depth else inputs
            outputs = []
            for backward in range(self.directions):
                layer = directions[backward]  # type: ignore[index]
                begin = layer.begin(inputs) if state is None else tuple(part[:, len(ends)] for part in state)
                ordered = reverse(inputs, lengths) if backward else inputs
                hidden, end = layer(ordered, valid, begin)
                outputs.append(reverse(hidden, lengths) if backward else hidden)
                ends.append(end)
            inputs = torch.cat(outputs, 2)
        if valid is not None:
            inputs = inputs.masked_fill(~valid[:, :, None], 0)
        return inputs, tuple(torch.stack(parts, 1) for parts in zip(*ends, strict=True))


class RecurrentNetwork(nn.Module):
    r"""Recurrent layers over padded batches of sequences; padding never changes a result.

    ``h_t = f(h_{t-1}, x_t)`` with the same ``f`` at every step; each further layer reads the one below, and a
    bidirectional network also reads every sequence from its end. RNN, LSTM and GRU are torch's own fused
    layers, run on packed sequences; leaky and multi-scale units are :class:`LeakyLayer` and
    :class:`MultiscaleLayer`.

    Parameters
    ----------
    in_features : int
        Width of the inputs, 1 or more.
    width : int
        Number of hidden units of each layer and direction, 1 or more.
    layers : int
        Number of layers, 1 or more.
    cell : {"lstm", "gru", "rnn", "leaky", "multiscale"}
        What a hidden unit is.
    bidirectional : bool
        Read each sequence in both directions; the outputs are twice as wide.
    dropout : float
        Probability in ``[0, 1)`` with which an output of a layer is dropped in training. It acts between layers
        and on what is returned, never on the recurrent path.
    initialization : {"orthogonal", "uniform"}
        ``"orthogonal"``: recurrent weights orthogonal (gate by gate), so that a signal sent through many steps
        neither vanishes nor explodes from the start; input weights Glorot; biases zero, but 1 at the forget
        gates of an LSTM and the update gates of a GRU, so that both begin by remembering: with 0 a unit keeps
        half of its value in a step, and a GRU did not learn to recall an input thirty steps ago.
        ``"uniform"``: torch's, all within ``± 1 / sqrt(width)``.
    alpha : float, sequence of float or None
        For ``cell="leaky"``, the share of the old value kept: see :class:`LeakyLayer`.
    learn_alpha : bool
        For ``cell="leaky"``, whether ``alpha`` is learned.
    periods : sequence of int, optional
        For ``cell="multiscale"``, the periods of its groups: see :class:`MultiscaleLayer`; ``(1, 2, 4, 8)`` by
        default.

    Attributes
    ----------
    out_features : int
        Width of the outputs, ``width * directions``.

    Raises
    ------
    SettingError
        If a setting is unknown, out of range, or belongs to another cell.

    Examples
    --------
    >>> network = RecurrentNetwork(3, 8, cell="gru", bidirectional=True)
    >>> outputs, last, state = network(torch.randn(2, 5, 3), torch.tensor([5, 2]))
    >>> outputs.shape, last.shape, state[0].shape
    (torch.Size([2, 5, 16]), torch.Size([2, 16]), torch.Size([2, 2, 8]))
    >>> float(outputs[1, 2:].detach().abs().max())
    0.0

    References
    ----------
    Goodfellow et al. 2016, §10.2 (eq. 10.8-10.9), §10.3 (bidirectional), §10.5 (deep), §10.9 (several time
    scales), §10.10 (gated); §8.4 and §10.10.2 (forget gates that begin open, after Gers et al. 2000).
    """

    def __init__(
        self,
        in_features: int,
        width: int = 128,
        *,
        layers: int = 1,
        cell: str = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        initialization: str = "orthogonal",
        alpha: float | Sequence[float] | None = None,
        learn_alpha: bool = True,
        periods: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        chosen(cell, CELLS, "cell")
        chosen(initialization, INITIALIZATIONS, "initialization")
        check_sizes(in_features=in_features, width=width, layers=layers)
        check_rate("dropout", dropout)
        if cell != "leaky" and (alpha is not None or not learn_alpha):
            raise SettingError("alpha and learn_alpha with leaky units only", f"cell={cell!r}", "set cell='leaky'")
        if cell != "multiscale" and periods is not None:
            raise SettingError("periods with multi-scale units only", f"cell={cell!r}", "set cell='multiscale'")
        self.in_features, self.width, self.cell, self.bidirectional = in_features, width, cell, bidirectional
        directions = 2 if bidirectional else 1
        self.parts, self.out_features = layers * directions, width * directions
        self.dropout = nn.Dropout(dropout)
        self.core: nn.RNNBase | _Unrolled
        if cell in _FUSED:
            between = dropout if layers > 1 else 0.0
            settings = {"batch_first": True, "bidirectional": bidirectional, "dropout": between}
            self.core = _FUSED[cell](in_features, width, layers, **settings)  # type: ignore[arg-type]
            if initialization == "orthogonal":
                _initialize_fused(self.core, _GATES[cell])
            return

        def layer(fan_in: int) -> UnrolledLayer:
            if cell == "leaky":
                return LeakyLayer(fan_in, width, alpha=alpha, learn_alpha=learn_alpha, initialization=initialization)
            given = (1, 2, 4, 8) if periods is None else tuple(periods)
            return MultiscaleLayer(fan_in, width, periods=given, initialization=initialization)

        widths = [in_features] + [self.out_features] * (layers - 1)
        self.core = _Unrolled([[layer(fan_in) for _ in range(directions)] for fan_in in widths], dropout)

    def forward(
        self,
        inputs: Float[Tensor, "batch time features"],
        lengths: Int[Tensor, " examples"] | None = None,
        state: State | None = None,
    ) -> Recurrence:
        """Run over a padded batch.

        Parameters
        ----------
        inputs : Tensor of shape (batch, time, in_features)
            Sequences, padded at their end with anything.
        lengths : Tensor of shape (batch,), optional
            Number of valid steps of each, 1 or more; all of them by default. Best kept on the processor, where
            sequences are packed. A batch of equal lengths is not packed, and an LSTM then runs several times
            faster on a processor: put sequences of like length into one batch.
        state : tuple of Tensor, optional
            The state that an earlier chunk of the same sequences ended with; zero by default.

        Returns
        -------
        Recurrence
            ``(outputs, last, state)``.

        Raises
        ------
        InputError
            If shapes do not fit, a length is 0, or a bidirectional network is given a state: its backward
            direction begins at the end of a sequence and has nothing to go on from.
        """
        check_sequences(inputs, self.in_features)
        batch, time = inputs.shape[:2]
        check_lengths(lengths, batch, time)
        if state is not None:
            self._check_state(state, batch)
        if lengths is not None and bool((lengths == time).all()):
            lengths = None
        if isinstance(self.core, _Unrolled):
            outputs, carried = self.core(inputs, lengths, state)
        else:
            outputs, carried = self._fused(self.core, inputs, lengths, state)
        outputs = self.dropout(outputs)
        if self.bidirectional:
            last = torch.cat([last_valid(outputs[:, :, : self.width], lengths), outputs[:, 0, self.width :]], 1)
        else:
            last = last_valid(outputs, lengths)
        return Recurrence(outputs, last, carried)

    def _check_state(self, state: State, batch: int) -> None:
        if self.bidirectional:
            mend = "give whole sequences, or set bidirectional=False"
            raise InputError("no state for a bidirectional network", f"{len(state)} tensors", mend)
        shapes = [(batch, self.parts, self.width)]
        if self.cell == "lstm":
            shapes *= 2
        elif self.cell == "multiscale":
            shapes.append((batch, self.parts))  # type: ignore[arg-type]
        received = [tuple(part.shape) for part in state]
        if received != shapes:
            raise InputError(f"a state of shapes {shapes}", str(received), "give the state that a forward returned")

    def _fused(
        self, core: nn.RNNBase, inputs: Tensor, lengths: Tensor | None, state: State | None
    ) -> tuple[Tensor, State]:
        """Run torch's layer, whose states have the layer first and, but for an LSTM, are no tuples."""
        begin = None if state is None else tuple(part.transpose(0, 1).contiguous() for part in state)
        given = begin if begin is None or len(begin) > 1 else begin[0]
        if lengths is None:
            outputs, ended = core(inputs, given)
        else:
            packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
            ran, ended = core(packed, given)
            outputs, _ = pad_packed_sequence(ran, batch_first=True, total_length=inputs.shape[1])
        ends = ended if isinstance(ended, tuple) else (ended,)
        return outputs, tuple(part.transpose(0, 1) for part in ends)


class SequenceFeatures(nn.Module):
    """A recurrent network as the body of a network with one answer for each sequence.

    Parameters
    ----------
    recurrent : RecurrentNetwork
        Reads the sequences.
    pooling : {"last", "mean", "max"}
        What stands for the sequence: the last valid state of each direction, or the mean or the largest value of
        each output over the valid steps.

    Attributes
    ----------
    out_features : int
        Width of the features.

    Raises
    ------
    SettingError
        If there is no such pooling.

    Examples
    --------
    >>> body = SequenceFeatures(RecurrentNetwork(3, 8), "mean")
    >>> body(torch.randn(2, 5, 3), torch.tensor([5, 2])).shape
    torch.Size([2, 8])

    References
    ----------
    Goodfellow et al. 2016, §10.2, figure 10.5.
    """

    def __init__(self, recurrent: RecurrentNetwork, pooling: str = "last") -> None:
        super().__init__()
        self.recurrent, self.pooling = recurrent, chosen(pooling, POOLINGS, "pooling")
        self.out_features = recurrent.out_features

    def forward(
        self, inputs: Float[Tensor, "batch time features"], lengths: Int[Tensor, " examples"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """Return one vector of features for each sequence."""
        outputs, last, _ = self.recurrent(inputs, lengths)
        if self.pooling == "last":
            return last
        if lengths is None:
            return outputs.mean(1) if self.pooling == "mean" else outputs.amax(1)
        lengths = lengths.to(outputs.device)
        if self.pooling == "mean":
            return outputs.sum(1) / lengths[:, None]
        return outputs.masked_fill(~valid_positions(lengths, outputs.shape[1])[:, :, None], -torch.inf).amax(1)
