"""Shapes of convolutions: padding, sizes, receptive fields, and layers for grids of one to three axes (§9.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.networks.checks import check_sizes, chosen

__all__ = [
    "PADDINGS",
    "Layers",
    "channels_last",
    "convolution",
    "layers_of",
    "output_size",
    "padding_of",
    "receptive_field",
]

PADDINGS = ("valid", "same", "full")


class Layers(NamedTuple):
    """The layers of torch for grids of one number of axes."""

    convolution: type[Any]
    transposed: type[Any]
    max_pool: type[Any]
    memory: torch.memory_format | None


_LAYERS = {
    1: Layers(nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, None),
    2: Layers(nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, torch.channels_last),
    3: Layers(nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, torch.channels_last_3d),
}


def layers_of(dimensions: int) -> Layers:
    """Return torch's layers for grids of ``dimensions`` axes.

    Raises
    ------
    SettingError
        If ``dimensions`` is not 1, 2 or 3.

    Examples
    --------
    >>> layers_of(1).convolution.__name__
    'Conv1d'
    """
    if dimensions not in _LAYERS:
        mend = "set 1 for series, 2 for images, 3 for volumes and videos"
        raise SettingError("dimensions of 1, 2 or 3", repr(dimensions), mend)
    return _LAYERS[dimensions]


def channels_last(maps: Tensor) -> Tensor:
    """Return maps with their channels side by side in memory, as convolutions are fastest; series stay as they are.

    Examples
    --------
    >>> channels_last(torch.zeros(2, 3, 8, 8)).stride()
    (192, 1, 24, 3)
    """
    memory = _LAYERS[maps.ndim - 2].memory
    return maps if memory is None else maps.contiguous(memory_format=memory)


def padding_of(padding: str | int, kernel: int, *, dilation: int = 1) -> tuple[int, int]:
    """Return how many zeros stand before and after an axis.

    With m positions, a kernel of k and a stride of one, ``"valid"`` leaves ``m - k + 1`` outputs, each of which sees
    no padding; ``"same"`` leaves m; ``"full"`` leaves ``m + k - 1``: every input meets every weight. Where
    ``"same"`` needs an odd number of zeros, the odd one stands after, as in torch.

    Parameters
    ----------
    padding : {"valid", "same", "full"} or int
        An integer stands for itself, on both sides.
    kernel : int
        Width of the kernel.
    dilation : int
        Distance between neighbouring weights.

    Raises
    ------
    SettingError
        If there is no such padding.

    Examples
    --------
    >>> [padding_of(name, 4) for name in PADDINGS]
    [(0, 0), (1, 2), (3, 3)]

    References
    ----------
    Goodfellow et al. 2016, §9.5, figure 9.13.
    """
    check_sizes(kernel=kernel, dilation=dilation)
    if isinstance(padding, int):
        if padding < 0:
            raise SettingError("padding of 0 or more", str(padding), "set padding='same'")
        return padding, padding
    chosen(padding, PADDINGS, "padding")
    reach = dilation * (kernel - 1)
    return {"valid": (0, 0), "same": (reach // 2, reach - reach // 2), "full": (reach, reach)}[padding]


def output_size(size: int, kernel: int, *, stride: int = 1, padding: str | int = "valid", dilation: int = 1) -> int:
    """Return how many outputs a convolution or pooling leaves along an axis.

    ``floor((size + before + after - dilation (kernel - 1) - 1) / stride) + 1``

    Parameters
    ----------
    size : int
        Positions of the input along the axis.
    kernel, stride, padding, dilation
        Of the layer, along the axis.

    Raises
    ------
    SettingError
        If a setting is out of range, or the kernel is wider than the padded input.

    Examples
    --------
    >>> [output_size(28, 5, padding=name) for name in PADDINGS], output_size(28, 3, stride=2, padding=1)
    ([24, 28, 32], 14)

    References
    ----------
    Goodfellow et al. 2016, §9.5.
    """
    check_sizes(size=size, stride=stride)
    before, after = padding_of(padding, kernel, dilation=dilation)
    room = size + before + after - dilation * (kernel - 1) - 1
    if room < 0:
        received = f"a kernel reaching over {dilation * (kernel - 1) + 1} on {size + before + after}"
        raise SettingError("a kernel no wider than the padded input", received, "set padding='same'")
    return room // stride + 1


def receptive_field(layers: Sequence[tuple[int, int, int]]) -> int:
    """Return how many inputs along an axis one output of a chain of layers can see.

    ``1 + Σ_l (k_l - 1) d_l Π_{j<l} s_j`` over kernels k, strides s and dilations d.

    Parameters
    ----------
    layers : sequence of (kernel, stride, dilation)
        Convolutions and poolings, from the input on.

    Examples
    --------
    >>> receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4)])
    15

    References
    ----------
    Goodfellow et al. 2016, §9.2, figure 9.4; Yu & Koltun 2016 (dilation).
    """
    field, step = 1, 1
    for kernel, stride, dilation in layers:
        check_sizes(kernel=kernel, stride=stride, dilation=dilation)
        field += (kernel - 1) * dilation * step
        step *= stride
    return field


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    dimensions: int = 2,
    stride: int = 1,
    padding: str | int = "same",
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> Any:
    """Return torch's convolution with the padding of a name.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels read and written.
    kernel : int
        Width of the kernel, along every axis.
    dimensions : {1, 2, 3}
        Axes of the grid.
    stride : int
        Distance between outputs, in inputs.
    padding : {"valid", "same", "full"} or int
        Zeros around the grid; see :func:`padding_of`. With a stride s, ``"same"`` leaves ``ceil(m / s)``. With an
        even kernel it makes torch copy the input, which says so in a warning, once.
    dilation : int
        Distance between neighbouring weights.
    groups : int
        Parts into which the channels fall, each convolved by itself.
    bias : bool
        Whether each output channel has a bias.

    Returns
    -------
    Conv1d, Conv2d or Conv3d

    Raises
    ------
    SettingError
        If a setting is out of range, groups do not divide the channels, or ``"same"`` would need more zeros on one
        side than on the other together with a stride.

    Examples
    --------
    >>> convolution(3, 8, 5, padding="full")
    Conv2d(3, 8, kernel_size=(5, 5), stride=(1, 1), padding=(4, 4))

    References
    ----------
    Goodfellow et al. 2016, §9.5.
    """
    check_sizes(in_channels=in_channels, out_channels=out_channels, stride=stride, groups=groups)
    before, after = padding_of(padding, kernel, dilation=dilation)
    if before != after and stride > 1:
        received = f"kernel={kernel}, dilation={dilation}, stride={stride}"
        raise SettingError("an odd kernel for padding='same' with a stride", received, f"set kernel={kernel + 1}")
    if in_channels % groups or out_channels % groups:
        received = f"groups={groups} for {in_channels} and {out_channels} channels"
        raise SettingError("groups that divide the channels", received, "set groups=1")
    zeros: str | int = before if before == after else "same"
    kind = layers_of(dimensions).convolution
    return kind(in_channels, out_channels, kernel, stride, zeros, dilation, groups, bias)
