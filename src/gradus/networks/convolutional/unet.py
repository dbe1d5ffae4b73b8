"""From images to images: U-Net (§9.6, structured outputs)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.networks.checks import check_maps, check_rate, check_sizes
from gradus.networks.convolutional.grids import channels_last, convolution, layers_of
from gradus.networks.initialization import initialize
from gradus.networks.normalization import normalization_layer

__all__ = ["UNet"]


class UNet(nn.Module):
    """U-Net: down by maxima to see far, up again by transposed convolutions, each level joined with its like.

    Every level has two 3 x 3 convolutions, each with a normalization and a rectifier; a level down halves the grid
    and doubles the channels. Inputs of any size go in: they are widened with the values at their border to a multiple
    of ``2^depth``, and the answer is cropped to the size that came.

    Parameters
    ----------
    in_channels : int
        Channels of the inputs.
    out_channels : int
        Numbers returned for each pixel: logits of classes, or whatever a loss reads.
    depth : int
        How often the grid is halved.
    width : int
        Channels of the first level.
    dimensions : {1, 2, 3}
        Axes of the inputs: series, images, volumes.
    normalization : {None, "batch", "group", "layer"}
        Of each convolution's outputs; the paper had none.
    dropout : float
        Probability in ``[0, 1)`` with which a value of the deepest maps is dropped in training.

    Attributes
    ----------
    out_channels : int
        Numbers returned for each pixel.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    InputError
        If inputs have other channels or axes.

    Examples
    --------
    >>> UNet(3, 2, depth=3, width=8)(torch.zeros(1, 3, 45, 70)).shape
    torch.Size([1, 2, 45, 70])

    References
    ----------
    Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation; Goodfellow et al. 2016,
    §9.6.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int = 4,
        width: int = 64,
        *,
        dimensions: int = 2,
        normalization: str | None = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, depth=depth, width=width)
        check_rate("dropout", dropout)
        layers = layers_of(dimensions)
        widths = [width * 2**level for level in range(depth + 1)]
        self.pool, self.down, self.up, self.merge = (
            layers.max_pool(2),
            nn.ModuleList(),
            nn.ModuleList(),
            nn.ModuleList(),
        )
        for level, (read, write) in enumerate(pairwise([in_channels, *widths])):
            self.down.append(_double(dimensions, read, write, normalization, first=level == 0))
        for below, write in pairwise(widths[::-1]):
            # One input position makes each output: the fan in is the channels below.
            up = layers.transposed(below, write, 2, 2)
            nn.init.normal_(up.weight, std=(2 / below) ** 0.5)
            nn.init.zeros_(up.bias)
            self.up.append(up)
            self.merge.append(_double(dimensions, 2 * write, write, normalization))
        self.dropout = nn.Dropout(dropout)
        self.output = convolution(width, out_channels, 1, dimensions=dimensions)
        initialize(self.output, "lecun")
        self.in_channels, self.out_channels, self.depth, self.dimensions = in_channels, out_channels, depth, dimensions
        if layers.memory is not None:
            self.to(memory_format=layers.memory)  # type: ignore[call-overload]

    def forward(self, inputs: Float[Tensor, "n channels *grid"]) -> Float[Tensor, "n out *grid"]:
        """Return the logits of each pixel."""
        check_maps(inputs, self.in_channels, self.dimensions)
        missing = [-size % 2**self.depth for size in inputs.shape[2:]]
        # F.pad counts from the last axis.
        sides = [side for m in reversed(missing) for side in (m // 2, m - m // 2)]
        maps = channels_last(F.pad(inputs, sides, mode="replicate") if any(missing) else inputs)
        skips = []
        for level in list(self.down)[:-1]:
            maps = level(maps)
            skips.append(maps)
            maps = self.pool(maps)
        maps = self.dropout(self.down[-1](maps))
        for up, merge in zip(self.up, self.merge, strict=True):
            maps = merge(torch.cat([skips.pop(), up(maps)], 1))
        logits = self.output(maps)
        for axis, (m, size) in enumerate(zip(missing, inputs.shape[2:], strict=True)):
            logits = logits.narrow(2 + axis, m // 2, size)
        return logits


def _double(dimensions: int, read: int, write: int, normalization: str | None, *, first: bool = False) -> Any:
    """Return two convolutions of 3, each with its normalization and rectifier."""
    layers: list[nn.Module] = []
    for index, channels in enumerate((read, write)):
        layer = convolution(channels, write, 3, dimensions=dimensions, bias=normalization is None)
        initialize(layer, "auto", "relu", first=first and index == 0)
        norm = [] if normalization is None else [normalization_layer(normalization, write, dimensions)]
        layers += [layer, *norm, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
