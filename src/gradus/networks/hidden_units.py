"""Hidden units: what becomes of a layer's pre-activations (§6.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_sizes, chosen

__all__ = ["ACTIVATIONS", "GATES", "HIDDEN_UNITS", "Absolute", "Gated", "HiddenUnit", "Maxout", "hidden_unit"]


class Absolute(nn.Module):
    """Absolute value rectification, ``|z|``: features invariant to a change of polarity.

    Examples
    --------
    >>> Absolute()(torch.tensor([-2.0, 1.0])).tolist()
    [2.0, 1.0]

    References
    ----------
    Goodfellow et al. 2016, §6.3.1; Jarrett et al. 2009.
    """

    def forward(self, inputs: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """Return the absolute value of each entry."""
        return inputs.abs()


class Maxout(nn.Module):
    """The largest of ``pieces`` pre-activations: a learned convex piecewise linear function.

    ``h_i = max_j z_ij``. Of ``pieces * width`` entries along ``dim``, piece j of unit i is entry ``j * width + i``.

    Parameters
    ----------
    pieces : int
        Pre-activations a unit chooses among, 2 or more.
    dim : int
        The axis of units: -1 after an affine map, 1 after a convolution.

    Raises
    ------
    SettingError
        If there are fewer than two pieces.
    InputError
        If the pieces do not divide the entries.

    Examples
    --------
    >>> Maxout(2)(torch.tensor([[1.0, -3.0, 0.0, 5.0]])).tolist()
    [[1.0, 5.0]]

    References
    ----------
    Goodfellow et al. 2016, §6.3.1, eq. 6.37; Goodfellow et al. 2013, Maxout Networks.
    """

    def __init__(self, pieces: int = 2, dim: int = -1) -> None:
        super().__init__()
        check_sizes(pieces=pieces)
        if pieces < 2:
            raise SettingError("pieces of 2 or more", str(pieces), "set pieces=2, or activation='identity'")
        self.pieces, self.dim = pieces, dim

    def forward(self, inputs: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """Return the maximum over the pieces of each unit."""
        _check_divisible(inputs, self.dim, self.pieces)
        # Pieces lie in blocks, so that each is one affine map of the inputs, which `initialize` can make orthogonal.
        return reduce(torch.maximum, inputs.chunk(self.pieces, self.dim))

    def extra_repr(self) -> str:
        """Return the settings, for ``print(network)``."""
        return f"pieces={self.pieces}, dim={self.dim}"


class Gated(nn.Module):
    """A value times a gate: ``h = a * f(b)``, where the first half of the entries is a and the second b.

    With a sigmoid f it is the gated linear unit (GLU), with SiLU SwiGLU, with GELU GEGLU.

    Parameters
    ----------
    gate : Module
        The function f.
    dim : int
        The axis of units: -1 after an affine map, 1 after a convolution.

    Raises
    ------
    InputError
        If the entries have no two halves.

    Examples
    --------
    >>> Gated(nn.ReLU())(torch.tensor([[3.0, 4.0, 2.0, -1.0]])).tolist()
    [[6.0, 0.0]]

    References
    ----------
    Dauphin et al. 2017, Language Modeling with Gated Convolutional Networks; Shazeer 2020, GLU Variants Improve
    Transformer.
    """

    def __init__(self, gate: nn.Module, dim: int = -1) -> None:
        super().__init__()
        self.gate, self.dim = gate, dim

    def forward(self, inputs: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """Return each value times its gate."""
        _check_divisible(inputs, self.dim, 2)
        value, gate = inputs.chunk(2, self.dim)
        return value * self.gate(gate)


def _check_divisible(inputs: Tensor, dim: int, parts: int) -> None:
    if inputs.shape[dim] % parts:
        expected = f"a multiple of {parts} entries along axis {dim}"
        raise InputError(expected, str(tuple(inputs.shape)), f"make the layer before it {parts} times as wide")


# One pre-activation a unit.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "absolute": Absolute,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "hard_tanh": nn.Hardtanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}

# Two pre-activations a unit: the function of the second.
GATES: dict[str, Callable[[], nn.Module]] = {
    "glu": nn.Sigmoid,
    "reglu": nn.ReLU,
    "geglu": nn.GELU,
    "swiglu": nn.SiLU,
    "bilinear": nn.Identity,
}

HIDDEN_UNITS: tuple[str, ...] = (*ACTIVATIONS, "maxout", *GATES)


class HiddenUnit(NamedTuple):
    """A module that turns pre-activations into units, and how many of them a unit reads."""

    module: nn.Module
    pieces: int


def hidden_unit(name: str, pieces: int = 2, dim: int = -1) -> HiddenUnit:
    """Return the hidden unit of a name.

    Parameters
    ----------
    name : str
        One of ``HIDDEN_UNITS``.
    pieces : int
        Pre-activations a maxout unit chooses among; others have their own number.
    dim : int
        The axis of units.

    Raises
    ------
    SettingError
        If there is no such unit.

    Examples
    --------
    >>> hidden_unit("tanh").pieces, hidden_unit("swiglu").pieces, hidden_unit("maxout", pieces=5).pieces
    (1, 2, 5)
    """
    chosen(name, HIDDEN_UNITS, "activation")
    if name == "maxout":
        return HiddenUnit(Maxout(pieces, dim), pieces)
    if name in GATES:
        return HiddenUnit(nn.GLU(dim) if name == "glu" else Gated(GATES[name](), dim), 2)
    return HiddenUnit(ACTIVATIONS[name](), 1)
