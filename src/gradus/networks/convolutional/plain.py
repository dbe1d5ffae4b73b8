"""Convolution and pooling in a chain: a small network of today, and LeNet-5 (§9.1-9.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_maps, check_rate, check_sizes, chosen
from gradus.networks.convolutional.grids import channels_last
from gradus.networks.initialization import initialize

__all__ = ["ConvNet", "LeNet5"]

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


# LeCun et al. 1998, table I: which maps of the first pooling each map of the second convolution reads.
_TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip


@torch.no_grad()
def _spread_(weight: Tensor, fan_in: int) -> None:
    weight.uniform_(-2.4 / fan_in, 2.4 / fan_in)  # the paper's appendix A


class _ScaledTanh(nn.Module):
    """``1.7159 tanh(2z/3)``: plus and minus one are its values at plus and minus one, where it bends the most."""

    def forward(self, inputs: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        return 1.7159 * torch.tanh(inputs * (2 / 3))


class _Subsampling(nn.Module):
    """The sum of each 2 x 2, times a weight, plus a bias: one of each for a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        _spread_(self.weight, 4)

    def forward(self, maps: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels rows columns"]:
        sums = 4 * F.avg_pool2d(maps, 2)
        return torch.addcmul(self.bias.view(-1, 1, 1), sums, self.weight.view(-1, 1, 1))


class _PartialConvolution(nn.Module):
    """5 x 5 convolution from 6 maps to 16 that reads only the pairs of the table: 60 kernels of 96."""

    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(out, into) for out, read in enumerate(_TABLE) for into in read]
        self.register_buffer("pairs", torch.tensor(pairs).t().contiguous(), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.zeros(16))
        for kernel, (out, _) in zip(self.weight, pairs, strict=True):
            _spread_(kernel, 25 * len(_TABLE[out]))

    def forward(self, maps: Float[Tensor, "n 6 height width"]) -> Float[Tensor, "n 16 rows columns"]:
        kernel = self.weight.new_zeros(16, 6, 5, 5).index_put((self.pairs[0], self.pairs[1]), self.weight)
        return F.conv2d(maps, kernel, self.bias)


class LeNet5(nn.Module):
    """LeNet-5: two 5 x 5 convolutions with pooling, then 120 and 84 units, for small images.

    ========  =====================  ================  =================
    layer     1998                   parameters        modern
    ========  =====================  ================  =================
    C1        6 maps of 28 x 28      156               the same
    S2        sums of 2 x 2          12                maxima, 0
    C3        16 maps of 10 x 10     1,516             2,416 (all pairs)
    S4        sums of 2 x 2          32                maxima, 0
    C5        120 units              48,120            the same
    F6        84 units               10,164            the same
    ========  =====================  ================  =================

    That makes the 60,000 of the paper, whose output has fixed codes; and with ten outputs of a head on the modern one
    61,706. The layout of 1998 has scaled hyperbolic tangents after every layer, and C3 reads the pairs of the paper's
    table I; the modern one has rectifiers. Images of 28 x 28 are widened by two pixels on each side, with the value of
    the pixel at the border: zeros would draw a frame once the pixels are standardized.

    Parameters
    ----------
    in_channels : int
        Channels of the images; the layout of 1998 is counted above with one.
    style : {"modern", "1998"}
        Rectifiers and maxima, or the paper's units.
    dropout : float
        Probability in ``[0, 1)`` with which each of the 120 and 84 units is dropped in training.

    Attributes
    ----------
    out_features : int
        84, the units of F6, which a head reads.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    InputError
        If images are neither 28 x 28 nor 32 x 32.

    Examples
    --------
    >>> network = LeNet5()
    >>> network(torch.zeros(2, 1, 28, 28)).shape, network(torch.zeros(2, 1, 32, 32)).shape
    (torch.Size([2, 84]), torch.Size([2, 84]))
    >>> sum(p.numel() for p in LeNet5(style="1998").parameters())
    60000

    References
    ----------
    LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition, §II.B, figure 2, table I;
    Goodfellow et al. 2016, §9.1-9.3.
    """

    def __init__(self, in_channels: int = 1, *, style: str = "modern", dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels)
        chosen(style, ("modern", "1998"), "style")
        check_rate("dropout", dropout)
        self.in_channels, self.style, self.out_features = in_channels, style, 84
        first, c5, f6 = nn.Conv2d(in_channels, 6, 5), nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84)
        layers: list[nn.Module]
        squash: type[nn.Module]
        if style == "modern":
            second = nn.Conv2d(6, 16, 5)
            squash = nn.ReLU
            # The maximum before the rectifier: the same numbers from a quarter of the work.
            layers = [first, nn.MaxPool2d(2), nn.ReLU(), second, nn.MaxPool2d(2), nn.ReLU()]
            for layer in (first, second, c5, f6):
                initialize(layer, "auto", "relu", first=layer is first)
        else:
            squash = _ScaledTanh
            layers = [
                first,
                squash(),
                _Subsampling(6),
                squash(),
                _PartialConvolution(),
                squash(),
                _Subsampling(16),
                squash(),
            ]
            for layer in (first, c5, f6):
                _spread_(layer.weight, layer.weight[0].numel())
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.maps = nn.Sequential(*layers)
        units: list[nn.Module] = []
        for dense in (c5, f6):
            units += [dense, squash(), *([nn.Dropout(dropout)] if dropout else [])]
        self.dense = nn.Sequential(*units)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n 84"]:
        """Return the 84 units of F6 for each image."""
        check_maps(images, self.in_channels, 2)
        if tuple(images.shape[2:]) not in {(28, 28), (32, 32)}:
            raise InputError("images of 28 x 28 or 32 x 32 pixels", str(tuple(images.shape)), "resize them")
        if images.shape[2] == 28:
            images = F.pad(images, (2, 2, 2, 2), mode="replicate")
        maps = self.maps(channels_last(images))
        # In the order of memory, so that flattening is a view.
        return self.dense(maps.permute(0, 2, 3, 1).flatten(1))
