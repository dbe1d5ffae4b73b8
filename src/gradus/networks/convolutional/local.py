"""Weights shared less than a convolution shares them: nowhere, or every few positions (§9.5)."""

from __future__ import annotations

from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.networks.checks import check_maps, check_sizes
from gradus.networks.convolutional.grids import output_size, padding_of

__all__ = ["LocallyConnected2d", "TiledConv2d"]


class LocallyConnected2d(nn.Module):
    """Unshared convolution: every position of the output has a kernel of its own.

    ``Z[i, j, k] = b[i, j, k] + Σ_{l, m, n} V[l, j s + m, k s + n] W[j, k, i, l, m, n]``. For features that mean
    something in one place only, as the mouth in the lower half of a portrait.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels read and written.
    image_size : int or (int, int)
        Height and width of the images: positions have weights, so it is fixed.
    kernel : int
        Width of the kernels.
    stride : int
        Distance between outputs, in pixels.
    padding : {"valid", "same", "full"} or int
        Zeros around the images; see :func:`padding_of`.
    bias : bool
        Whether every output of every position has a bias.

    Attributes
    ----------
    grid : (int, int)
        Height and width of the outputs.
    weight : Parameter of shape (height * width, in_channels * kernel * kernel, out_channels)
        The kernel of each position, positions row by row.
    bias : Parameter of shape (out_channels, height, width), or None

    Raises
    ------
    SettingError
        If a setting is out of range.
    InputError
        If images of another shape come in.

    Examples
    --------
    >>> layer = LocallyConnected2d(1, 4, image_size=8, kernel=3)
    >>> layer(torch.zeros(2, 1, 8, 8)).shape, layer.weight.shape
    (torch.Size([2, 4, 6, 6]), torch.Size([36, 9, 4]))

    References
    ----------
    Goodfellow et al. 2016, §9.5, eq. 9.9; LeCun 1989.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        image_size: int | tuple[int, int],
        kernel: int,
        *,
        stride: int = 1,
        padding: str | int = "valid",
        bias: bool = True,
    ) -> None:
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        check_sizes(in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.image_size = in_channels, out_channels, (height, width)
        self.kernel, self.stride, self.zeros = kernel, stride, padding_of(padding, kernel)
        self.grid = (
            output_size(height, kernel, stride=stride, padding=padding),
            output_size(width, kernel, stride=stride, padding=padding),
        )
        positions, fan_in = self.grid[0] * self.grid[1], in_channels * kernel**2
        self.weight = nn.Parameter(torch.empty(positions, fan_in, out_channels).normal_(std=1 / sqrt(fan_in)))
        if bias:
            self.bias: nn.Parameter | None = nn.Parameter(torch.zeros(out_channels, *self.grid))
        else:
            self.register_parameter("bias", None)

    @torch.no_grad()
    def tie_(self, kernel: Float[Tensor, "out channels height width"]) -> LocallyConnected2d:
        """Give every position the same kernel, that of a convolution; return the layer.

        A start from a trained convolution: from here on positions may part.

        Parameters
        ----------
        kernel : Tensor of shape (out_channels, in_channels, kernel, kernel)
            As ``Conv2d.weight``.

        Raises
        ------
        InputError
            If it has another shape.
        """
        expected = (self.out_channels, self.in_channels, self.kernel, self.kernel)
        if tuple(kernel.shape) != expected:
            raise InputError(f"a kernel of shape {expected}", str(tuple(kernel.shape)), "pass the weight of a Conv2d")
        self.weight.copy_(kernel.flatten(1).t().expand_as(self.weight))
        return self

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n out rows columns"]:
        """Return the outputs of every position."""
        check_maps(images, self.in_channels, 2)
        if tuple(images.shape[2:]) != self.image_size:
            expected = f"images of {self.image_size[0]} x {self.image_size[1]} pixels"
            raise InputError(expected, str(tuple(images.shape)), "resize them to the size the layer was made for")
        patches = F.unfold(F.pad(images, self.zeros * 2), self.kernel, stride=self.stride)
        # (len() of a tensor would fix the batch in an exported graph.)
        # One product of matrices a position, all in one call: (positions, n, fan_in) by (positions, fan_in, out).
        outputs = torch.bmm(patches.permute(2, 0, 1), self.weight)
        outputs = outputs.permute(1, 2, 0).reshape(images.shape[0], self.out_channels, *self.grid)
        return outputs if self.bias is None else outputs + self.bias

    def extra_repr(self) -> str:
        """Return the settings, for ``print(network)``."""
        sizes = f"{self.in_channels}, {self.out_channels}, image_size={self.image_size}"
        return f"{sizes}, kernel={self.kernel}, stride={self.stride}, zeros={self.zeros}"


class TiledConv2d(nn.Module):
    """Tiled convolution: ``tiles`` x ``tiles`` kernels in turn, so that neighbours differ and the pattern repeats.

    ``Z[i, j, k] = Σ_{l, m, n} V[l, j s + m, k s + n] K[i, l, m, n, j mod t, k mod t]``. With t = 1 it is a
    convolution; with t as large as the output, a locally connected layer. The weights grow by t², the arithmetic
    not at all. Pooling over neighbours learns invariances other than to translation.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels read and written.
    kernel : int
        Width of the kernels.
    tiles : int
        The t above: after how many positions along an axis the kernels come again.
    stride : int
        Distance between outputs, in pixels.
    padding : {"valid", "same", "full"} or int
        Zeros around the images; see :func:`padding_of`.
    bias : bool
        Whether every output of every kernel has a bias.

    Attributes
    ----------
    weight : Parameter of shape (tiles, tiles, out_channels, in_channels, kernel, kernel)
    bias : Parameter of shape (tiles, tiles, out_channels), or None

    Raises
    ------
    SettingError
        If a setting is out of range.
    InputError
        If images are smaller than the kernel or have other channels.

    Examples
    --------
    >>> layer = TiledConv2d(1, 4, kernel=3, tiles=2)
    >>> layer(torch.zeros(2, 1, 8, 9)).shape, layer.weight.shape
    (torch.Size([2, 4, 6, 7]), torch.Size([2, 2, 4, 1, 3, 3]))

    References
    ----------
    Goodfellow et al. 2016, §9.5, eq. 9.10; Gregor & LeCun 2010, Emergence of Complex-Like Cells in a Temporal Product
    Network with Local Receptive Fields; Le et al. 2010, Tiled Convolutional Neural Networks.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        tiles: int = 2,
        *,
        stride: int = 1,
        padding: str | int = "valid",
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, tiles=tiles, stride=stride)
        self.in_channels, self.out_channels, self.kernel, self.tiles = in_channels, out_channels, kernel, tiles
        self.stride, self.zeros = stride, padding_of(padding, kernel)
        shape = (tiles, tiles, out_channels, in_channels, kernel, kernel)
        self.weight = nn.Parameter(torch.empty(shape).normal_(std=1 / sqrt(in_channels * kernel**2)))
        if bias:
            self.bias: nn.Parameter | None = nn.Parameter(torch.zeros(tiles, tiles, out_channels))
        else:
            self.register_parameter("bias", None)

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n out rows columns"]:
        """Return the outputs of every position."""
        check_maps(images, self.in_channels, 2, smallest=max(1, self.kernel - sum(self.zeros)))
        padded = F.pad(images, self.zeros * 2)
        rows, columns = ((size - self.kernel) // self.stride + 1 for size in padded.shape[2:])
        outputs = padded.new_empty(images.shape[0], self.out_channels, rows, columns)
        # A kernel acts at every t-th output: an ordinary convolution with a stride of t, on the image moved to its
        # first position. Together they do the arithmetic of one.
        for j in range(min(self.tiles, rows)):
            for k in range(min(self.tiles, columns)):
                moved = padded[:, :, j * self.stride :, k * self.stride :]
                bias = None if self.bias is None else self.bias[j, k]
                part = F.conv2d(moved, self.weight[j, k], bias, self.stride * self.tiles)
                outputs[:, :, j :: self.tiles, k :: self.tiles] = part
        return outputs

    def extra_repr(self) -> str:
        """Return the settings, for ``print(network)``."""
        sizes = f"{self.in_channels}, {self.out_channels}, kernel={self.kernel}, tiles={self.tiles}"
        return f"{sizes}, stride={self.stride}, zeros={self.zeros}"
