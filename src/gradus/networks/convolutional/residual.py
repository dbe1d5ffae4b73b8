"""Residual convolutional networks on series, images and volumes (§9.3, §8.7.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.networks.checks import check_maps, check_rate, check_sizes, chosen
from gradus.networks.convolutional.grids import channels_last, convolution, layers_of
from gradus.networks.initialization import initialize
from gradus.networks.normalization import normalization_layer

__all__ = ["ResNet"]

_EXPANSION = 4  # of a bottleneck: it writes four times the channels it convolves


class _Maker:
    """Makes the layers of one network: grids of a number of axes, one normalization."""

    def __init__(self, dimensions: int, normalization: str) -> None:
        self.dimensions, self.normalization = dimensions, normalization

    def convolution(self, read: int, write: int, kernel: int, stride: int = 1, *, first: bool = False) -> Any:
        # No bias: a normalization follows, which has one. "same" cannot be said with a stride and an even kernel,
        # and no kernel here is even.
        layer = convolution(read, write, kernel, dimensions=self.dimensions, stride=stride, bias=False)
        initialize(layer, "auto", "relu", first=first)
        return layer

    def norm(self, channels: int) -> Any:
        return normalization_layer(self.normalization, channels, self.dimensions)


class _Block(nn.Module):
    """``relu(branch(x) + shortcut(x))``, the branch ending with a normalization of gain zero."""

    def __init__(self, make: _Maker, read: int, width: int, write: int, stride: int) -> None:
        super().__init__()
        layers = _branch(make, read, width, write, stride)
        last = make.norm(write)
        nn.init.zeros_(last.weight)
        for at in range(len(layers) - 1, 0, -1):
            layers[at:at] = [make.norm(width), nn.ReLU(inplace=True)]
        self.branch = nn.Sequential(*layers, last)
        same = read == write and stride == 1
        self.shortcut = None if same else nn.Sequential(make.convolution(read, write, 1, stride), make.norm(write))

    def forward(self, maps: Float[Tensor, "n read *grid"]) -> Float[Tensor, "n write *smaller"]:
        # In place on what a normalization made: no backward pass reads it.
        passed = maps if self.shortcut is None else self.shortcut(maps)
        return F.relu_(self.branch(maps).add_(passed))


class _PreactivationBlock(nn.Module):
    """``branch(r) + shortcut(r)`` with ``r = relu(normalize(x))``, or ``+ x``; the last convolution starts at zero.

    Not the last normalization's gain: a rectifier follows it, whose slope at zero is zero, and nothing in the branch
    would ever move.
    """

    def __init__(self, make: _Maker, read: int, width: int, write: int, stride: int) -> None:
        super().__init__()
        layers = _branch(make, read, width, write, stride)
        nn.init.zeros_(layers[-1].weight)
        for at in range(len(layers) - 1, 0, -1):
            layers[at:at] = [make.norm(width), nn.ReLU(inplace=True)]
        self.ready = nn.Sequential(make.norm(read), nn.ReLU(inplace=True))
        self.branch = nn.Sequential(*layers)
        self.shortcut = None if read == write and stride == 1 else make.convolution(read, write, 1, stride)

    def forward(self, maps: Float[Tensor, "n read *grid"]) -> Float[Tensor, "n write *smaller"]:
        ready = self.ready(maps)
        return self.branch(ready).add_(maps if self.shortcut is None else self.shortcut(ready))


def _branch(make: _Maker, read: int, width: int, write: int, stride: int) -> list[Any]:
    """Return the convolutions of a branch: two of 3, or where it writes more than its width 1, 3, 1."""
    if write == width:
        return [make.convolution(read, width, 3, stride), make.convolution(width, write, 3)]
    narrow, convolve = make.convolution(read, width, 1), make.convolution(width, width, 3, stride)
    return [narrow, convolve, make.convolution(width, write, 1)]


class ResNet(nn.Module):
    """Residual network: stages of blocks ``x + branch(x)``, each at half the resolution and twice the width.

    ``depth`` and ``width`` are the dial: blocks in each stage, channels of the first. Every branch starts at zero, so
    that depth does no harm to begin with. The last maps are averaged over the grid, so inputs of any size go in.

    ==================  ====================================================================
    known as            here
    ==================  ====================================================================
    ResNet-20 (CIFAR)   ``ResNet(3, depth=3, width=16)``
    ResNet-18           ``ResNet(3, depth=2, width=64, stages=4, stem="large")``
    ResNet-50           ``ResNet(3, (3, 4, 6, 3), 64, stem="large", bottleneck=True)``
    ==================  ====================================================================

    Parameters
    ----------
    in_channels : int
        Channels of the inputs.
    depth : int or sequence of int
        Blocks in every stage, or in each.
    width : int
        Channels of the first stage; each later one has twice those before.
    stages : int, optional
        Number of stages; 3 unless ``depth`` lists them.
    dimensions : {1, 2, 3}
        Axes of the inputs: series, images, volumes.
    block : {"v1", "preactivation"}
        Rectifier after the sum, or normalization and rectifier before each convolution, which leaves the path from
        block to block untouched and trains deeper.
    bottleneck : bool
        Blocks of three convolutions: to ``width`` channels, over the grid, to four times ``width``.
    stem : {"small", "large"}
        What comes first: one convolution of 3, for inputs of some ten pixels; or one of 7 with stride 2 and maxima
        of 3 with stride 2, for some hundred.
    normalization : {"batch", "group", "layer"}
        Of each convolution's outputs; ``"group"`` for batches of a few.
    dropout : float
        Probability in ``[0, 1)`` with which a feature is dropped in training.

    Attributes
    ----------
    out_features : int
        Width of the features returned: channels of the last stage.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    InputError
        If inputs have other channels or axes.

    Examples
    --------
    >>> import torch
    >>> network = ResNet(1, depth=2, width=16)
    >>> network(torch.zeros(2, 1, 28, 28)).shape, network(torch.zeros(2, 1, 33, 50)).shape
    (torch.Size([2, 64]), torch.Size([2, 64]))
    >>> ResNet(6, dimensions=1)(torch.zeros(2, 6, 100)).shape
    torch.Size([2, 128])

    References
    ----------
    He et al. 2016, Deep Residual Learning for Image Recognition; He et al. 2016, Identity Mappings in Deep Residual
    Networks; Goyal et al. 2017 (gains of zero); Goodfellow et al. 2016, §9.3, §9.11.
    """

    def __init__(
        self,
        in_channels: int,
        depth: int | Sequence[int] = 2,
        width: int = 32,
        *,
        stages: int | None = None,
        dimensions: int = 2,
        block: str = "v1",
        bottleneck: bool = False,
        stem: str = "small",
        normalization: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        counts = _counts(depth, stages)
        check_sizes(in_channels=in_channels, width=width)
        chosen(block, ("v1", "preactivation"), "block")
        chosen(stem, ("small", "large"), "stem")
        check_rate("dropout", dropout)
        layers = layers_of(dimensions)
        make = _Maker(dimensions, normalization)
        kind: type[nn.Module] = _Block if block == "v1" else _PreactivationBlock
        start: list[nn.Module] = [
            make.convolution(in_channels, width, *((3, 1) if stem == "small" else (7, 2)), first=True)
        ]
        ready = [make.norm(width), nn.ReLU(inplace=True)]
        if stem == "large":  # the maximum before the rectifier: the same numbers from a quarter of the work
            pool = layers.max_pool(3, 2, 1)
            start += [pool] if block == "preactivation" else [ready[0], pool, ready[1]]
        elif block == "v1":
            start += ready
        self.stem, self.stages, read = nn.Sequential(*start), nn.Sequential(), width
        for stage, count in enumerate(counts):
            inner = width * 2**stage
            write = inner * _EXPANSION if bottleneck else inner
            blocks = nn.Sequential()
            for index in range(count):
                blocks.append(kind(make, read, inner, write, 2 if stage and index == 0 else 1))
                read = write
            self.stages.append(blocks)
        # Pre-activation blocks leave a sum that nothing has normalized or rectified.
        end = [make.norm(read), nn.ReLU(inplace=True)] if block == "preactivation" else []
        self.end, self.dropout = nn.Sequential(*end), nn.Dropout(dropout)
        self.in_channels, self.out_features, self.dimensions = in_channels, read, dimensions
        if layers.memory is not None:
            self.to(memory_format=layers.memory)  # type: ignore[call-overload]

    def maps(self, inputs: Float[Tensor, "n channels *grid"]) -> Float[Tensor, "n features *cells"]:
        """Return the last maps, before they are averaged over the grid."""
        check_maps(inputs, self.in_channels, self.dimensions)
        return self.end(self.stages(self.stem(channels_last(inputs))))

    def forward(self, inputs: Float[Tensor, "n channels *grid"]) -> Float[Tensor, "n features"]:
        """Return the features of each input."""
        maps = self.maps(inputs)
        return self.dropout(maps.mean(tuple(range(2, maps.ndim))))


def _counts(depth: int | Sequence[int], stages: int | None) -> list[int]:
    if isinstance(depth, int):
        check_sizes(depth=depth, stages=3 if stages is None else stages)
        return [depth] * (3 if stages is None else stages)
    counts = list(depth)
    if not counts or min(counts) < 1:
        raise SettingError("depth to list 1 block or more for each stage", str(counts), "set depth=2")
    if stages not in (None, len(counts)):
        raise SettingError(f"stages={len(counts)}, as depth lists", str(stages), "leave out stages")
    return counts
