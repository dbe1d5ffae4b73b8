"""Convolutional networks: a first small one (chapter 9)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.networks.feedforward import initialize

__all__ = ["ConvNet"]

# Pooling stops before the grid gets smaller than this: on 8 x 8 digits a second pooling would leave 2 x 2.
_SMALLEST_GRID = 4


class ConvNet(nn.Module):
    """Blocks of 3 x 3 convolution, pooling and rectifier, then one fully connected layer of features.

    Each block convolves with zero padding (the grid keeps its size), takes the maximum of each 2 x 2 and
    rectifies: the order rectify-then-pool gives the same numbers and takes longer. Pooling is left out where
    it would leave a grid of less than 4 x 4. Weights and activations lie channels-last in memory.

    Parameters
    ----------
    in_channels : int
        Channels of the images.
    image_size : int or (int, int)
        Height and width in pixels.
    channels : sequence of int
        Channels of each block.
    features : int
        Width of the fully connected layer.
    dropout : float
        Probability in ``[0, 1)`` with which a unit is dropped in training, before and after the fully
        connected layer.
    pooling : {"flatten", "global"}
        What the fully connected layer reads: every cell of the last grid, or its average over the grid,
        which keeps large images cheap and takes images of any size.

    Attributes
    ----------
    out_features : int
        Width of the features returned.
    grid : (int, int)
        Height and width of the last grid at ``image_size``.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    InputError
        If images of another shape come in.

    Examples
    --------
    >>> network = ConvNet(1, 28)  # on MNIST: conv32, conv64, fc128
    >>> network(torch.zeros(2, 1, 28, 28)).shape, network.grid
    (torch.Size([2, 128]), (7, 7))
    >>> ConvNet(1, 8).grid
    (4, 4)

    References
    ----------
    Goodfellow et al. 2016, §9.1-9.3, figure 9.11; LeCun et al. 1998.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | tuple[int, int],
        channels: Sequence[int] = (32, 64),
        features: int = 128,
        *,
        dropout: float = 0.0,
        pooling: str = "flatten",
    ) -> None:
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        if pooling not in {"flatten", "global"}:
            raise SettingError("pooling to be flatten or global", repr(pooling), "set pooling='flatten'")
        if not 0.0 <= dropout < 1.0:
            raise SettingError("dropout in [0, 1)", str(dropout), "set for example dropout=0.25")
        if not channels or min(in_channels, height, width, features, *channels) < 1:
            sizes = f"{in_channels} x {height} x {width}, channels {tuple(channels)}, {features} features"
            raise SettingError("one block or more, and sizes of 1 or more", sizes, "set for example channels=(32, 64)")
        self.in_channels, self.image_size, self.pooling = in_channels, (height, width), pooling
        blocks: list[nn.Module] = []
        widths = [in_channels, *channels]
        for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
            convolution = nn.Conv2d(fan_in, fan_out, 3, padding=1)
            initialize(convolution, "auto", "relu", first=index == 0)
            blocks.append(convolution)
            if min(height, width) >= 2 * _SMALLEST_GRID:
                blocks.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            blocks.append(nn.ReLU())
        self.blocks = nn.Sequential(*blocks)
        self.grid, self.out_features = (height, width), features
        cells = 1 if pooling == "global" else height * width
        dense = nn.Linear(channels[-1] * cells, features)
        initialize(dense, "auto", "relu")
        drops = [[nn.Dropout(dropout)], [nn.Dropout(dropout)]] if dropout else [[], []]
        self.dense = nn.Sequential(*drops[0], dense, nn.ReLU(), *drops[1])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """Return the features of each image."""
        expected: tuple[int, ...] = (self.in_channels, *self.image_size)
        received = images.shape[1:]
        if self.pooling == "global":
            expected, received = expected[:1], received[:1]
        if received != expected:
            mend = "resize the images to the size the network was made for"
            raise InputError(f"images of shape (n, {', '.join(map(str, expected))})", str(tuple(images.shape)), mend)
        maps = self.blocks(images.contiguous(memory_format=torch.channels_last))
        if self.pooling == "global":
            return self.dense(maps.mean((2, 3)))
        # In the order of memory, so that flattening is a view.
        return self.dense(maps.permute(0, 2, 3, 1).flatten(1))
