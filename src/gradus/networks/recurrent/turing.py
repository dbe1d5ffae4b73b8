"""The neural Turing machine: a controller with a memory that it reads and writes by soft addressing (§10.12)."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_sizes, chosen
from gradus.networks.recurrent import addressing
from gradus.networks.recurrent.sequences import check_sequences

__all__ = ["CONTROLLERS", "NeuralTuringMachine", "TuringRun", "TuringState"]

CONTROLLERS = ("lstm", "feedforward")
# Share of a head's weight on the first slot to begin with.
FIRST = 0.99


class TuringState(NamedTuple):
    """Everything a machine remembers; every tensor has the example first.

    Attributes
    ----------
    memory : Tensor of shape (batch, slots, cells)
        The memory.
    weights : Tensor of shape (batch, heads, slots)
        Where each head is, read heads first.
    reads : Tensor of shape (batch, read_heads * cells)
        What was read last.
    controller : tuple of Tensor
        Hidden units and cells of an LSTM controller, each ``(batch, width)``; empty for a feedforward one.
    """

    memory: Float[Tensor, "batch slots cells"]
    weights: Float[Tensor, "batch heads slots"]
    reads: Float[Tensor, "batch read"]
    controller: tuple[Tensor, ...]


class TuringRun(NamedTuple):
    """What a machine returns.

    Attributes
    ----------
    outputs : Tensor of shape (batch, time, out_features)
        Outputs after every step, unsquashed: logits where targets are bits.
    weights : Tensor of shape (batch, time, heads, slots)
        Where the heads were, read heads first.
    state : TuringState
        What the next chunk begins with.
    """

    outputs: Float[Tensor, "batch time outputs"]
    weights: Float[Tensor, "batch time heads slots"]
    state: TuringState


class NeuralTuringMachine(nn.Module):
    r"""A controller network with read and write heads over a memory matrix, differentiable throughout.

    At every step the controller reads the input and what its heads read last. Each head then looks for a key by
    content, interpolates with its last place, shifts, and sharpens (:mod:`gradus.networks.recurrent.addressing`);
    the write heads erase and add; the read heads read the new memory; and the output is a linear map of the
    controller's units and what was read. As many parameters whatever the length of a sequence and, but for where
    heads begin, whatever the number of slots: what it learns on short sequences can hold on longer ones.

    Parameters
    ----------
    in_features, out_features : int
        Widths of inputs and outputs, 1 or more.
    width : int
        Hidden units of the controller.
    controller : {"lstm", "feedforward"}
        With a feedforward controller all that is remembered is in the memory.
    slots, cells : int
        Rows and columns of the memory (the paper's N and M).
    read_heads, write_heads : int
        Number of heads, 1 or more of each.
    shift_range : int
        The largest offset r by which a head moves in one step, 1 or more; ``2 r + 1`` at most ``slots``.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> machine = NeuralTuringMachine(9, 8, 32, slots=16, cells=10)
    >>> outputs, weights, state = machine(torch.zeros(2, 5, 9))
    >>> outputs.shape, weights.shape, bool(torch.allclose(weights.sum(3), torch.ones(2, 5, 2)))
    (torch.Size([2, 5, 8]), torch.Size([2, 5, 2, 16]), True)

    References
    ----------
    Goodfellow et al. 2016, §10.12, figure 10.18; Graves et al. 2014, Neural Turing Machines; Collier and Beel
    2018 (a constant memory to begin with).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: int = 100,
        *,
        controller: str = "lstm",
        slots: int = 128,
        cells: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        shift_range: int = 1,
    ) -> None:
        super().__init__()
        chosen(controller, CONTROLLERS, "controller")
        check_sizes(in_features=in_features, out_features=out_features, width=width, slots=slots, cells=cells)
        check_sizes(read_heads=read_heads, write_heads=write_heads, shift_range=shift_range)
        if 2 * shift_range + 1 > slots:
            received = f"shift_range={shift_range} and slots={slots}"
            raise SettingError("2 shift_range + 1 slots or more", received, "set for example slots=128, shift_range=1")
        self.in_features, self.out_features, self.slots, self.cells = in_features, out_features, slots, cells
        self.read_heads, self.heads = read_heads, read_heads + write_heads
        fan_in = in_features + read_heads * cells
        self.controller: nn.LSTMCell | nn.Linear
        if controller == "lstm":
            self.controller = nn.LSTMCell(fan_in, width)
        else:
            self.controller = nn.Linear(fan_in, width)
        # For each head: key, strength, gate, power, then one number for each offset; for writers erase and add.
        self.splits = (cells, 1, 1, 1, 2 * shift_range + 1)
        self.addressing = nn.Linear(width, self.heads * sum(self.splits))
        self.writing = nn.Linear(width, write_heads * 2 * cells)
        self.output = nn.Linear(width + read_heads * cells, out_features)
        self.first_weights = nn.Parameter(torch.zeros(self.heads, slots))
        self.first_reads = nn.Parameter(torch.zeros(read_heads * cells))
        self.first_controller = nn.Parameter(torch.zeros(2 if controller == "lstm" else 0, width))
        self._initialize()

    def _initialize(self) -> None:
        for linear in (self.addressing, self.writing, self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        # All heads begin at the first slot, where a uniform start would write to every slot at once, with nearly all
        # of their weight, whatever the number of slots: what lies elsewhere is written elsewhere.
        self.first_weights.data[:, 0] = log(FIRST / (1 - FIRST) * (self.slots - 1))
        if isinstance(self.controller, nn.Linear):
            nn.init.xavier_uniform_(self.controller.weight)
            nn.init.zeros_(self.controller.bias)

    def begin(self, batch: int) -> TuringState:
        """Return the state before the first step: a constant memory, learned places and units."""
        memory = self.first_weights.new_full((batch, self.slots, self.cells), 1e-6)
        weights = self.first_weights.softmax(1).expand(batch, -1, -1)
        reads = torch.tanh(self.first_reads).expand(batch, -1)
        return TuringState(memory, weights, reads, tuple(part.expand(batch, -1) for part in self.first_controller))

    def step(
        self, inputs: Float[Tensor, "batch features"], state: TuringState
    ) -> tuple[Float[Tensor, "batch hidden"], TuringState]:
        """Take one step; return what the output reads, the controller's units and what was read, and the state."""
        seen = torch.cat([inputs, state.reads], 1)
        if isinstance(self.controller, nn.LSTMCell):
            # Contiguous, since the start is one row seen by all examples and the fused cell wants its own.
            hidden, cell = self.controller(seen, tuple(part.contiguous() for part in state.controller))
            units: tuple[Tensor, ...] = (hidden, cell)
        else:
            hidden, units = torch.tanh(self.controller(seen)), ()
        weights = self._address(hidden, state)
        erase, add = self.writing(hidden).unflatten(1, (-1, 2 * self.cells)).split(self.cells, 2)
        writers = weights[:, self.read_heads :]
        memory = addressing.write(state.memory, writers, torch.sigmoid(erase), torch.tanh(add))
        reads = addressing.read(memory, weights[:, : self.read_heads]).flatten(1)
        return torch.cat([hidden, reads], 1), TuringState(memory, weights, reads, units)

    def _address(self, hidden: Tensor, state: TuringState) -> Tensor:
        raw = self.addressing(hidden).unflatten(1, (self.heads, -1))
        keys, strengths, gates, powers, offsets = raw.split(self.splits, 2)
        found = addressing.content_weights(state.memory, torch.tanh(keys), F.softplus(strengths).squeeze(2))
        placed = addressing.interpolate(found, state.weights, torch.sigmoid(gates).squeeze(2))
        moved = addressing.shift(placed, offsets.softmax(2))
        return addressing.sharpen(moved, 1 + F.softplus(powers).squeeze(2))

    def forward(self, inputs: Float[Tensor, "batch time features"], state: TuringState | None = None) -> TuringRun:
        """Run over sequences of equal length.

        Parameters
        ----------
        inputs : Tensor of shape (batch, time, in_features)
            Sequences. Outputs never depend on later inputs, so shorter ones may be padded at their end.
        state : TuringState, optional
            What an earlier chunk ended with; :meth:`begin` by default.

        Returns
        -------
        TuringRun
            ``(outputs, weights, state)``.

        Raises
        ------
        InputError
            If shapes do not fit.
        """
        check_sequences(inputs, self.in_features)
        state = self.begin(len(inputs)) if state is None else state
        expected = (len(inputs), self.slots, self.cells)
        if state.memory.shape != expected:
            mend = "give the state that an earlier run of as many examples returned"
            raise InputError(f"a memory of shape {expected}", str(tuple(state.memory.shape)), mend)
        read, places = [], []
        for now in inputs.unbind(1):
            seen, state = self.step(now, state)
            read.append(seen)
            places.append(state.weights)
        return TuringRun(self.output(torch.stack(read, 1)), torch.stack(places, 1), state)
