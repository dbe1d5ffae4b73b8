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

__all__ = ["MaskedNetwork", "draw_positions"]


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
        picked = torch.as_tensor(which, device=inputs.device).reshape(1)

        def degrees(index: int) -> Tensor:
            return self._degrees(index).index_select(0, picked)[0]

        h, below = inputs, degrees(-1)
        for index, layer in enumerate(self._linear_layers()):
            own = degrees(index)
            h = self.drop(self.unit(_masked(h, layer, own[:, None] >= below)))
            below = own
        ends = degrees(-1).repeat_interleave(self.per_column)[:, None]
        outputs = _masked(h, self.last, ends > below)
        if self.direct is not None:
            outputs = outputs + _masked(inputs, self.direct, ends > degrees(-1))
        return outputs.view(len(inputs), self.columns, self.per_column)


def _masked(inputs: Tensor, layer: nn.Linear, mask: Tensor) -> Tensor:
    return F.linear(inputs, layer.weight * mask, layer.bias)
