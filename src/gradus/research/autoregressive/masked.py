"""A dense network whose masks keep each output from seeing what comes later: MADE's, also that of autoregressive flows.

Columns have a position in an order. A hidden unit has a degree ``k``: it reads inputs (or units) up to it. An output of
position ``p`` reads units of degree below ``p``. So it depends on the columns before its own, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.networks.checks import check_rate, check_sizes
from gradus.networks.hidden_units import hidden_unit
from gradus.networks.initialization import initialize

__all__ = ["MaskedNetwork", "MaskedSteps", "draw_positions"]


def draw_positions(columns: int, sets: int = 1, order: str = "given") -> Int[Tensor, "sets columns"]:
    """Return the position of each column, counted from 0, in each of several orders.

    Random ones are drawn from torch's global generator, as weights are.

    Parameters
    ----------
    columns, sets : int
        How many columns, and how many orders.
    order : {"given", "random", "each"}
        As the columns stand; one random order for all sets; a random order for each.

    Examples
    --------
    >>> draw_positions(3, sets=2).tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    if order == "given":
        return torch.arange(columns).expand(sets, -1).clone()
    if order == "random":
        return torch.randperm(columns).expand(sets, -1).clone()
    return torch.stack([torch.randperm(columns) for _ in range(sets)])


class MaskedNetwork(nn.Module):
    """Masked autoencoder: ``per_column`` numbers for each column, functions of the columns before it alone.

    ``h = f((W ⊙ M_W) x + b)`` and ``a = (V ⊙ M_V) h + (A ⊙ M_A) x + c``. Several sets of masks may share the weights.

    Parameters
    ----------
    columns : int
        Columns of a row, 1 or more.
    hidden : sequence of int
        Units of each hidden layer; empty leaves the direct connections alone.
    per_column : int
        Numbers given for each column.
    activation : str
        Hidden units.
    direct : bool
        Connect inputs and outputs directly too (the term with ``A``).
    positions : Tensor of shape (sets, columns), optional
        Position of each column, in each set; by default one set, in the order of the columns.
    dropout : float
        Probability in ``[0, 1)`` with which a hidden unit is dropped in training.

    Raises
    ------
    SettingError
        If a size is below 1.
    InputError
        If positions are no orders of the columns.

    Examples
    --------
    >>> network = MaskedNetwork(4, (16,), per_column=2)
    >>> network(torch.zeros(5, 4)).shape
    torch.Size([5, 4, 2])
    >>> x = torch.zeros(1, 4, requires_grad=True)
    >>> network(x)[0, 1].sum().backward()
    >>> (x.grad[0] != 0).tolist()[1:]  # the second column's numbers see at most the first
    [False, False, False]

    References
    ----------
    Germain et al. 2015, MADE: Masked Autoencoder for Distribution Estimation, eq. 8-13; Goodfellow et al. 2016,
    §20.10.9.
    """

    positions: Tensor

    def __init__(
        self,
        columns: int,
        hidden: Sequence[int],
        per_column: int = 1,
        *,
        activation: str = "relu",
        direct: bool = False,
        positions: Int[Tensor, "sets columns"] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(columns=columns, per_column=per_column)
        for units in hidden:
            check_sizes(hidden=units)
        check_rate("dropout", dropout)
        positions = draw_positions(columns) if positions is None else positions
        if positions.ndim != 2 or not positions.sort(1).values.equal(torch.arange(columns).expand(len(positions), -1)):
            mend = "make them with draw_positions"
            raise InputError(f"positions 0 to {columns - 1}, each once in each row", str(positions.tolist()), mend)
        self.columns, self.per_column, self.sets = columns, per_column, len(positions)
        self.register_buffer("positions", positions)
        widths = [columns, *hidden]
        layers = [nn.Linear(a, b) for a, b in zip(widths[:-1], hidden, strict=True)]
        self.layers = nn.ModuleList(layers)
        self.unit, _ = hidden_unit(activation)
        self.drop = nn.Dropout(dropout)
        for index, layer in enumerate(layers):
            initialize(layer, "auto", activation, first=index == 0)
            self.register_buffer(f"degrees_{index}", self._draw_degrees(index, layer.out_features))
        self.last = nn.Linear(widths[-1], columns * per_column)
        initialize(self.last, "auto", activation, first=not hidden)
        self.direct = nn.Linear(columns, columns * per_column, bias=False) if direct and hidden else None
        if self.direct is not None:
            nn.init.zeros_(self.direct.weight)

    def _draw_degrees(self, index: int, units: int) -> Tensor:
        """Return degrees from the least of the layer below to the last but one position: spread evenly, or drawn."""
        most = max(1, self.columns - 1)
        if self.sets == 1:
            return (torch.arange(units) % most if units >= most else torch.arange(units) * most // units)[None]
        if index == 0:
            return torch.randint(most, (self.sets, units))
        least = self._degrees(index - 1).min(1, keepdim=True).values
        return least + (torch.rand(self.sets, units) * (most - least)).long()

    def _degrees(self, index: int) -> Tensor:
        """Return degrees of a layer, of shape (sets, units): -1 stands for the inputs."""
        return self.positions if index < 0 else getattr(self, f"degrees_{index}")

    def _linear_layers(self) -> list[nn.Linear]:
        return cast(list[nn.Linear], list(self.layers))

    def order(self, which: int = 0) -> Int[Tensor, " columns"]:
        """Return the columns in the order of a set of masks, first to last."""
        return self.positions[which].argsort()

    def first_weight(self) -> Float[Tensor, "units columns"]:
        """Return the weights into the first layer; masked where there is one set of masks, which then says how."""
        layers = self._linear_layers()
        weight = (layers[0] if layers else self.last).weight.detach()
        if self.sets > 1:
            return weight
        if layers:
            return weight * (self._degrees(0)[0][:, None] >= self.positions[0])
        return weight * (self.positions[0].repeat_interleave(self.per_column)[:, None] > self.positions[0])

    def forward(
        self, inputs: Float[Tensor, "batch columns"], which: int | Int[Tensor, ""] = 0
    ) -> Float[Tensor, "batch columns per_column"]:
        """Return the numbers of each column.

        Parameters
        ----------
        inputs : Tensor of shape (batch, columns)
            Rows.
        which : int or scalar Tensor
            Set of masks; a tensor is not fetched from its device.
        """
        weights, last, direct = self._masked_weights(which)
        h = inputs
        for layer, weight in zip(self._linear_layers(), weights, strict=True):
            h = self.drop(self.unit(F.linear(h, weight, layer.bias)))
        outputs = F.linear(h, last, self.last.bias)
        if direct is not None:
            outputs = outputs + F.linear(inputs, direct)
        return outputs.view(len(inputs), self.columns, self.per_column)

    def _masked_weights(self, which: int | Tensor) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """Return the weights of the hidden layers, of the last, and of the direct connections, zero where masked."""
        picked = torch.as_tensor(which, device=self.positions.device).reshape(1)

        def degrees(index: int) -> Tensor:
            return self._degrees(index).index_select(0, picked)[0]

        weights, below = [], degrees(-1)
        for index, layer in enumerate(self._linear_layers()):
            own = degrees(index)
            weights.append(layer.weight * (own[:, None] >= below))
            below = own
        ends = degrees(-1).repeat_interleave(self.per_column)[:, None]
        direct = None if self.direct is None else self.direct.weight * (ends > degrees(-1))
        return weights, self.last.weight * (ends > below), direct


class MaskedSteps:
    """A masked network asked for one column after another, without a whole pass for each.

    What columns add to the first layer and to the outputs is kept; dropout is left out.

    Parameters
    ----------
    network : MaskedNetwork
        The network.
    size : int
        Rows.
    which : int
        Set of masks.

    Examples
    --------
    >>> network = MaskedNetwork(3, (8,), direct=True)
    >>> steps, row = MaskedSteps(network, 1), torch.tensor([[1.0, 2.0, 3.0]])
    >>> steps.add(0, row[:, 0]), steps.add(1, row[:, 1])
    (None, None)
    >>> torch.allclose(steps.numbers(2), network(row)[:, 2])
    True
    """

    def __init__(self, network: MaskedNetwork, size: int, which: int = 0) -> None:
        self.network = network
        self.weights, self.last, self.direct = network._masked_weights(which)
        if not self.weights:
            self.direct, self.last = self.last, self.last.new_zeros(self.last.shape)
        self.layers = network._linear_layers()
        self.outputs = network.last.bias.expand(size, -1)
        self.first = self.layers[0].bias.expand(size, -1) if self.layers else None

    def numbers(self, column: int) -> Float[Tensor, "batch per_column"]:
        """Return the numbers of a column, given those added."""
        own = slice(column * self.network.per_column, (column + 1) * self.network.per_column)
        if self.first is None:
            return self.outputs[:, own]
        h = self.network.unit(self.first)
        for layer, weight in zip(self.layers[1:], self.weights[1:], strict=True):
            h = self.network.unit(F.linear(h, weight, layer.bias))
        return self.outputs[:, own] + F.linear(h, self.last[own])

    def add(self, column: int, values: Float[Tensor, " batch"]) -> None:
        """Make the values of a column known."""
        if self.first is not None:
            self.first = self.first + values[:, None] * self.weights[0][:, column]
        if self.direct is not None:
            self.outputs = self.outputs + values[:, None] * self.direct[:, column]
