"""Variants of convolution: separable, dilated, transposed (§9.5)."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.networks.checks import check_maps, check_sizes
from gradus.networks.convolutional.grids import channels_last, convolution, layers_of, receptive_field
from gradus.networks.initialization import initialize

__all__ = ["DepthwiseSeparable", "DilatedStack", "TransposedConvolution"]


class DepthwiseSeparable(nn.Module):
    """A convolution in two factors: each channel by itself in space, then all channels at each position.

    Its kernel is ``K[o, i, ...] = pointwise[o, i] * depthwise[i, ...]``: ``i k² + i o`` weights instead of ``i o k²``.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels read and written.
    kernel : int
        Width of the kernel, along every axis.
    dimensions : {1, 2, 3}
        Axes of the grid.
    stride, padding, dilation
        As in :func:`convolution`.
    bias : bool
        Whether each output channel has a bias.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> import torch
    >>> layer = DepthwiseSeparable(32, 64, 3)
    >>> layer(torch.zeros(2, 32, 9, 9)).shape, sum(p.numel() for p in layer.parameters())
    (torch.Size([2, 64, 9, 9]), 2400)

    References
    ----------
    Howard et al. 2017, MobileNets; Chollet 2017, Xception; Goodfellow et al. 2016, §9.8 (separable kernels).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        dimensions: int = 2,
        stride: int = 1,
        padding: str | int = "same",
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.dimensions = in_channels, out_channels, dimensions
        self.depthwise = convolution(
            in_channels, in_channels, kernel, dimensions=dimensions, stride=stride, padding=padding,
            dilation=dilation, groups=in_channels, bias=False,
        )  # fmt: skip
        self.pointwise = convolution(in_channels, out_channels, 1, dimensions=dimensions, bias=bias)
        for factor in (self.depthwise, self.pointwise):
            initialize(factor, "lecun")

    def forward(self, maps: Float[Tensor, "n channels *grid"]) -> Float[Tensor, "n out *smaller"]:
        """Return the maps convolved."""
        check_maps(maps, self.in_channels, self.dimensions)
        return self.pointwise(self.depthwise(maps))


class DilatedStack(nn.Module):
    """Convolutions with dilations 1, 2, 4, ..., each followed by a rectifier: a wide view at full resolution.

    The receptive field doubles with every layer while the weights grow by one layer:
    ``1 + (kernel - 1)(2^depth - 1)`` inputs along an axis.

    Parameters
    ----------
    in_channels : int
        Channels read.
    channels : int
        Channels of every layer, and written.
    depth : int
        Number of layers.
    kernel : int
        Width of the kernels, along every axis.
    dimensions : {1, 2, 3}
        Axes of the grid.

    Attributes
    ----------
    receptive_field : int
        Inputs along an axis that one output can see.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> import torch
    >>> stack = DilatedStack(3, 16, depth=4)
    >>> stack(torch.zeros(1, 3, 20, 20)).shape, stack.receptive_field
    (torch.Size([1, 16, 20, 20]), 31)

    References
    ----------
    Yu & Koltun 2016, Multi-Scale Context Aggregation by Dilated Convolutions; van den Oord et al. 2016, WaveNet.
    """

    def __init__(
        self, in_channels: int, channels: int, depth: int = 4, kernel: int = 3, *, dimensions: int = 2
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, channels=channels, depth=depth, kernel=kernel)
        self.in_channels, self.out_channels, self.dimensions = in_channels, channels, dimensions
        self.layers = nn.Sequential()
        for index in range(depth):
            read = channels if index else in_channels
            layer = convolution(read, channels, kernel, dimensions=dimensions, dilation=2**index)
            initialize(layer, "auto", "relu", first=index == 0)
            self.layers.extend([layer, nn.ReLU(inplace=True)])
        self.receptive_field = receptive_field([(kernel, 1, 2**index) for index in range(depth)])
        memory = layers_of(dimensions).memory
        if memory is not None:
            self.to(memory_format=memory)  # type: ignore[call-overload]

    def forward(self, maps: Float[Tensor, "n channels *grid"]) -> Float[Tensor, "n out *grid"]:
        """Return the maps of the last layer, of the grid that came in."""
        check_maps(maps, self.in_channels, self.dimensions)
        return self.layers(channels_last(maps))


class TransposedConvolution(nn.Module):
    """The transpose of a convolution, with its weights: ``<K x, y> = <x, Kᵀ y>`` for all x and y.

    It takes maps of the convolution's outputs back to the grid of its inputs: the decoder of a convolutional
    autoencoder with tied weights, and what back-propagation does to the gradient of a convolution's output.

    Parameters
    ----------
    convolution : Conv1d, Conv2d or Conv3d
        Its weights are shared, not copied; its bias has no part. Padding with zeros only.
    bias : bool
        Whether each of the convolution's input channels gets a bias.

    Raises
    ------
    InputError
        If the convolution pads with other values than zero, or the maps are none that it can have made.

    Examples
    --------
    >>> import torch
    >>> encoder = nn.Conv2d(1, 8, 5, stride=2)
    >>> images = torch.zeros(2, 1, 28, 28)
    >>> TransposedConvolution(encoder)(encoder(images), size=(28, 28)).shape
    torch.Size([2, 1, 28, 28])

    References
    ----------
    Goodfellow et al. 2016, §9.5, eqs. 9.11-9.13 (our transposed map is the book's ``h(K, H, s)``).
    """

    def __init__(self, convolution: nn.Conv1d | nn.Conv2d | nn.Conv3d, bias: bool = True) -> None:
        super().__init__()
        if convolution.padding_mode != "zeros":
            mend = "set padding_mode='zeros'"
            raise InputError("a convolution that pads with zeros", repr(convolution.padding_mode), mend)
        self.convolution = convolution
        if bias:
            self.bias: nn.Parameter | None = nn.Parameter(convolution.weight.new_zeros(convolution.in_channels))
        else:
            self.register_parameter("bias", None)

    def forward(
        self, maps: Float[Tensor, "n channels *grid"], size: tuple[int, ...] | None = None
    ) -> Float[Tensor, "n in *larger"]:
        """Return the maps on the grid of the convolution's inputs.

        Parameters
        ----------
        maps : Tensor of shape (n, channels, ...)
            As the convolution makes them.
        size : tuple of int, optional
            The grid wanted; with a stride several grids lead to the same maps, and the smallest is the default.
        """
        layer: Any = self.convolution
        dimensions = layer.weight.ndim - 2
        check_maps(maps, layer.out_channels, dimensions)
        cuts, smallest = [], []
        for axis in range(dimensions):
            reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            before, after = self._zeros(axis, reach)
            cuts.append((before, after))
            smallest.append((maps.shape[2 + axis] - 1) * layer.stride[axis] + reach + 1 - before - after)
        wanted = tuple(smallest) if size is None else size
        rests = [w - s for w, s in zip(wanted, smallest, strict=False)]
        if len(wanted) != dimensions or any(not 0 <= r < s for r, s in zip(rests, layer.stride, strict=True)):
            sizes = " x ".join(f"{s} to {s + t - 1}" for s, t in zip(smallest, layer.stride, strict=True))
            mend = "pass the size of the convolution's inputs"
            raise InputError(f"a grid of {sizes} for maps of {tuple(maps.shape[2:])}", str(wanted), mend)
        # Zeros stood around the input: what falls on them is cut off, as torch does for equal sides only.
        whole = getattr(F, f"conv_transpose{dimensions}d")(
            maps, layer.weight, None, layer.stride, 0, 0, layer.groups, layer.dilation
        )
        for axis, ((before, _), length) in enumerate(zip(cuts, wanted, strict=True)):
            missing = before + length - whole.shape[2 + axis]
            if missing > 0:  # inputs that no output saw
                whole = F.pad(whole, [0, 0] * (dimensions - 1 - axis) + [0, missing])
            whole = whole.narrow(2 + axis, before, length)
        return whole if self.bias is None else whole + self.bias.view(-1, *[1] * dimensions)

    def _zeros(self, axis: int, reach: int) -> tuple[int, int]:
        padding: Any = self.convolution.padding
        if isinstance(padding, str):
            return (0, 0) if padding == "valid" else (reach // 2, reach - reach // 2)
        return padding[axis], padding[axis]
