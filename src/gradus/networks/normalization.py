"""Normalization of pre-activations, by name and width (§8.7.1)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.networks.checks import check_sizes, chosen

__all__ = ["NORMALIZATIONS", "RootMeanSquareNorm", "normalization_layer"]

NORMALIZATIONS = ("batch", "layer", "rms", "group")

_BATCH_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

# Groups of 16 units: with the 32 groups of the paper, 32 units would be normalized each by itself, to nothing.
_GROUP_SIZE = 16


class RootMeanSquareNorm(nn.Module):
    """Divide by the root of the mean square over the last axis, then multiply by a gain for each unit.

    ``y = g x / sqrt(mean(x²) + eps)``. As ``torch.nn.RMSNorm``, with two differences under mixed precision: the gain
    takes the type of the inputs, without which torch warns and leaves its fused kernel, and eps does not depend on it.

    Parameters
    ----------
    width : int
        Units.
    eps : float
        Added to the mean square, above 0.

    Raises
    ------
    SettingError
        If ``width`` is below 1.

    Examples
    --------
    >>> RootMeanSquareNorm(2)(torch.tensor([[3.0, -3.0]])).round(decimals=3).tolist()
    [[1.0, -1.0]]

    References
    ----------
    Zhang & Sennrich 2019, Root Mean Square Layer Normalization, eq. 4.
    """

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        check_sizes(width=width)
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, inputs: Float[Tensor, " *batch width"]) -> Float[Tensor, " *batch width"]:
        """Return the inputs with a root mean square of one, times the gains."""
        return F.rms_norm(inputs, self.weight.shape, self.weight.to(inputs.dtype), self.eps)

    def extra_repr(self) -> str:
        """Return the settings, for ``print(network)``."""
        return f"{len(self.weight)}, eps={self.eps}"


def normalization_layer(name: str, width: int, dimensions: int = 0) -> nn.Module:
    """Return the layer that normalizes ``width`` units or channels.

    Parameters
    ----------
    name : {"batch", "layer", "rms", "group"}
        Over what: the batch; all units of an example; the same without the mean; groups of 16 units or more (one
        group where the width has no such divisor). On grids, ``"layer"`` means over channels and positions.
    width : int
        Units, or channels on a grid.
    dimensions : int
        Axes of the grid: 0 for vectors, 1 to 3 for maps of a convolution.

    Raises
    ------
    SettingError
        If there is no such normalization there, or it would leave one unit compared with itself: nothing.

    Examples
    --------
    >>> normalization_layer("group", 64, dimensions=2).num_groups
    4

    References
    ----------
    Goodfellow et al. 2016, §8.7.1; Ioffe & Szegedy 2015; Ba et al. 2016; Zhang & Sennrich 2019; Wu & He 2018.
    """
    names = NORMALIZATIONS if dimensions == 0 else ("batch", "group", "layer")
    chosen(name, names, "normalization")
    check_sizes(width=width)
    if name == "batch":
        return _BATCH_NORMS[dimensions](width)
    if width == 1 and dimensions == 0 and name != "rms":
        mend = "set normalization='batch', or make the layer wider"
        raise SettingError(f"2 units or more for normalization={name!r}", "1", mend)
    if name == "rms":
        return RootMeanSquareNorm(width)
    if name == "layer" and dimensions == 0:
        return nn.LayerNorm(width)
    counts = [n for n in range(1, width // _GROUP_SIZE + 1) if width % n == 0] if name == "group" else []
    return nn.GroupNorm(max(counts, default=1), width)
