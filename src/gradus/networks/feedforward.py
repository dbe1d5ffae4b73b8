"""Multilayer perceptrons: affine maps and hidden units, chained or added up in residual blocks (chapter 6)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.networks.checks import check_rate, check_sizes, chosen
from gradus.networks.hidden_units import ACTIVATIONS, HIDDEN_UNITS, Absolute, Gated, Maxout, hidden_unit
from gradus.networks.initialization import INITIALIZATIONS, activation_gain, initialize, lsuv_
from gradus.networks.normalization import NORMALIZATIONS, normalization_layer

__all__ = [
    "ACTIVATIONS",
    "HIDDEN_UNITS",
    "INITIALIZATIONS",
    "MLP",
    "NORMALIZATIONS",
    "Absolute",
    "Gated",
    "Maxout",
    "ResidualMLP",
    "activation_gain",
    "initialize",
    "lsuv_",
]


class _Residual(nn.Module):
    """Add the input of a block to its output."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, inputs: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return inputs + self.block(inputs)


class MLP(nn.Module):
    """A chain of affine maps and hidden units; its last hidden layer is the features a head reads.

    ``h_i = dropout(f(normalize(W_i h_{i-1} + b_i)))`` with ``h_0`` the inputs.

    Parameters
    ----------
    in_features : int
        Width of the inputs, 1 or more.
    hidden : sequence of int
        Width of each hidden layer; empty makes the identity, and with a head on top a linear model.
    activation : str
        A name in ``HIDDEN_UNITS``. Maxout and gated units (``"maxout"``, ``"glu"``, ``"swiglu"``, ``"geglu"``) read
        several pre-activations each, so their affine maps have that many times as many rows.
    dropout : float
        Probability in ``[0, 1)`` with which a hidden unit is dropped in training.
    input_dropout : float
        The same for inputs.
    normalization : {None, "batch", "layer", "rms", "group"}
        Normalization of the pre-activations.
    residual : bool
        Add the input of every hidden layer whose width does not change to its output.
    initialization : str
        One of ``INITIALIZATIONS``; see :func:`initialize`.
    pieces : int
        Pre-activations each maxout unit chooses among, 2 or more.

    Attributes
    ----------
    out_features : int
        Width of the features returned.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> import torch
    >>> MLP(64, (128, 32), activation="gelu", dropout=0.1)(torch.zeros(5, 64)).shape
    torch.Size([5, 32])
    >>> MLP(64, (128,), activation="maxout", pieces=3).layers[0]
    Linear(in_features=64, out_features=384, bias=True)

    References
    ----------
    Goodfellow et al. 2016, §6.1-6.4; §7.12 (dropout); §8.7.1 (batch normalization).
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] = (128, 128),
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        normalization: str | None = None,
        residual: bool = False,
        initialization: str = "auto",
        pieces: int = 2,
    ) -> None:
        super().__init__()
        chosen(activation, HIDDEN_UNITS, "activation")
        if normalization is not None:
            chosen(normalization, NORMALIZATIONS, "normalization")
        check_rate("dropout", dropout)
        check_rate("input_dropout", input_dropout)
        widths = [in_features, *hidden]
        if min(widths) < 1:
            raise SettingError("layers of 1 unit or more", str(widths), "set for example hidden=(128, 128)")
        layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
        for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
            unit, reads = hidden_unit(activation, pieces)
            linear = nn.Linear(fan_in, fan_out * reads)
            initialize(linear, initialization, activation, first=index == 0, pieces=pieces, blocks=reads)
            block: list[nn.Module] = [linear]
            if normalization is not None:
                block.append(normalization_layer(normalization, fan_out * reads))
            block.append(unit)
            if dropout:
                block.append(nn.Dropout(dropout))
            layers.extend([_Residual(nn.Sequential(*block))] if residual and fan_in == fan_out else block)
        self.in_features, self.out_features = in_features, widths[-1]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Float[Tensor, "batch {self.in_features}"]) -> Float[Tensor, "batch features"]:
        """Return the features of the last hidden layer."""
        return self.layers(inputs)


class ResidualMLP(nn.Module):
    """An affine map, then ``depth`` pre-activation residual blocks of one width, then a normalization.

    Each block is ``x + dropout(W₂ f(dropout(W₁ normalize(x))))``: the path from the last block to the first has no
    function in it, so a gradient reaches the first as it left the last. Every block starts as the identity
    (``W₂ = 0``), so depth does no harm to begin with.

    Parameters
    ----------
    in_features : int
        Width of the inputs, 1 or more.
    width : int
        Width of the path between blocks, and of the features returned.
    depth : int
        Number of blocks.
    expansion : float
        Hidden units of a block, as a multiple of ``width``.
    activation : str
        A name in ``HIDDEN_UNITS``: with ``"swiglu"`` the blocks are those of a modern transformer.
    dropout : float
        Probability in ``[0, 1)`` with which units are dropped in training, inside and at the end of each block.
    normalization : {"layer", "batch", "rms", "group"}
        Normalization of what a block reads, and of the features.
    pieces : int
        Pre-activations each maxout unit chooses among, 2 or more.

    Attributes
    ----------
    out_features : int
        Width of the features returned.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> import torch
    >>> ResidualMLP(10, width=64, depth=8, activation="swiglu")(torch.zeros(5, 10)).shape
    torch.Size([5, 64])

    References
    ----------
    Goodfellow et al. 2016, §6.4.2 (skip connections); He et al. 2016, Identity Mappings in Deep Residual Networks;
    Gorishniy et al. 2021, Revisiting Deep Learning Models for Tabular Data.
    """

    def __init__(
        self,
        in_features: int,
        width: int = 128,
        depth: int = 4,
        *,
        expansion: float = 2.0,
        activation: str = "relu",
        dropout: float = 0.0,
        normalization: str = "layer",
        pieces: int = 2,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, width=width, depth=depth)
        check_rate("dropout", dropout)
        hidden = round(expansion * width)
        if hidden < 1:
            raise SettingError("one hidden unit or more in a block", f"expansion={expansion}", "set expansion=2.0")
        stem = nn.Linear(in_features, width)
        initialize(stem, first=True)
        self.stem, self.blocks = stem, nn.Sequential()
        for _ in range(depth):
            unit, reads = hidden_unit(activation, pieces)
            widen, narrow = nn.Linear(width, hidden * reads), nn.Linear(hidden, width)
            initialize(widen, first=True)  # it reads what was normalized
            nn.init.zeros_(narrow.weight)
            nn.init.zeros_(narrow.bias)
            drops = [[nn.Dropout(dropout)], [nn.Dropout(dropout)]] if dropout else [[], []]
            norm = normalization_layer(normalization, width)
            self.blocks.append(_Residual(nn.Sequential(norm, widen, unit, *drops[0], narrow, *drops[1])))
        self.norm = normalization_layer(normalization, width)
        self.in_features, self.out_features = in_features, width

    def forward(self, inputs: Float[Tensor, "batch {self.in_features}"]) -> Float[Tensor, "batch features"]:
        """Return the features of the last block, normalized."""
        return self.norm(self.blocks(self.stem(inputs)))
