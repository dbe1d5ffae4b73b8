"""Networks of autoencoders: encoders, decoders, dense or convolutional, with weights of their own or tied."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.networks.checks import check_sizes, chosen
from gradus.networks.convolutional.grids import channels_last
from gradus.networks.convolutional.layers import TransposedConvolution
from gradus.networks.heads.base import inverse_softplus
from gradus.networks.hidden_units import ACTIVATIONS
from gradus.networks.initialization import initialize

__all__ = [
    "AutoencoderNetwork",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "DenseDecoder",
    "DenseEncoder",
    "KLargest",
    "SharedScale",
    "TransposedLinear",
]

# What is left of features scaled to a deviation of one, or to a range of one, is less than the whole from the start.
FIRST_SCALE = 0.3
# A convolution halves the grid while that leaves cells enough: 8 x 8 digits become 4 x 4, then 2 x 2.
_HALVED_FROM = 4


class KLargest(nn.Module):
    """Keep the ``k`` largest entries of each row and set the others to zero: a code that is exactly k-sparse.

    Parameters
    ----------
    k : int
        Entries kept, 1 or more; rows of no more entries stay as they are.

    Examples
    --------
    >>> KLargest(2)(torch.tensor([[1.0, 4.0, -3.0, 2.0]])).tolist()
    [[0.0, 4.0, 0.0, 2.0]]

    References
    ----------
    Goodfellow et al. 2016, §14.2.1; Makhzani & Frey 2014, k-Sparse Autoencoders.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        check_sizes(k=k)
        self.k = k

    def forward(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch code"]:
        """Return codes of at most k entries other than zero."""
        if self.k >= codes.shape[1]:
            return codes
        kept = codes.topk(self.k, dim=1).indices
        return torch.zeros_like(codes).scatter(1, kept, codes.gather(1, kept))

    def extra_repr(self) -> str:
        """Return the setting, for ``print(network)``."""
        return f"k={self.k}"


class TransposedLinear(nn.Module):
    """The transpose of an affine map, with its weights and a bias of its own: ``x = Wᵀ h + c``.

    Parameters
    ----------
    linear : Linear
        Its weights are shared, not copied; its bias has no part.

    Examples
    --------
    >>> encoder = nn.Linear(5, 2)
    >>> TransposedLinear(encoder)(encoder(torch.zeros(3, 5))).shape
    torch.Size([3, 5])

    References
    ----------
    Vincent et al. 2010, Stacked Denoising Autoencoders, §2.2 (tied weights).
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.bias = nn.Parameter(linear.weight.new_zeros(linear.in_features))

    def forward(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch features"]:
        """Return the transposed map."""
        return F.linear(codes, self.linear.weight.t(), self.bias)


class DenseEncoder(nn.Module):
    """A chain of affine maps and activations; its last layer is the code.

    Parameters
    ----------
    in_features : int
        Features of a row.
    hidden : sequence of int
        Units of each layer before the code; none makes the book's one-layer ``h = f(W x + b)``.
    code : int
        Units of the code.
    activation, code_activation : str
        Names in ``ACTIVATIONS``: of the hidden layers, and of the code.
    k : int, optional
        Make codes k-sparse (:class:`KLargest`).

    Examples
    --------
    >>> DenseEncoder(64, (32,), 2)(torch.zeros(5, 64)).shape
    torch.Size([5, 2])

    References
    ----------
    Goodfellow et al. 2016, §14.1, §14.3.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] = (),
        code: int = 32,
        *,
        activation: str = "relu",
        code_activation: str = "identity",
        k: int | None = None,
    ) -> None:
        super().__init__()
        units = [*[activation] * len(hidden), code_activation]
        self.layers = _chain([in_features, *hidden, code], units, before=None)
        if k is not None:
            self.layers.append(KLargest(k))
        self.in_features, self.out_features = in_features, code

    def forward(self, inputs: Float[Tensor, "batch {self.in_features}"]) -> Float[Tensor, "batch {self.out_features}"]:
        """Return the codes."""
        return self.layers(inputs)

    @property
    def affine(self) -> list[nn.Linear]:
        """The affine maps, first to last."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    @property
    def units(self) -> list[nn.Module]:
        """The activations that follow them."""
        return [layer for layer in self.layers if not isinstance(layer, nn.Linear | KLargest)]


class DenseDecoder(nn.Module):
    """The mirror of a dense encoder: from codes to the parameters of the distribution of a row.

    Parameters
    ----------
    encoder : DenseEncoder
        What it mirrors.
    activation : str
        Activation of its hidden layers; the last one has none.
    code_activation : str
        That of the codes that come in, for the size of the first weights.
    tied : bool
        Use the transposed weights of the encoder.
    per_feature : int
        Parameters for each feature.

    Examples
    --------
    >>> encoder = DenseEncoder(64, (32,), 2)
    >>> decoder = DenseDecoder(encoder, tied=True)
    >>> decoder(torch.zeros(5, 2)).shape, sum(p.numel() for p in decoder.parameters() if p.ndim == 1)
    (torch.Size([5, 64]), 130)

    References
    ----------
    Goodfellow et al. 2016, §14.1.
    """

    def __init__(
        self,
        encoder: DenseEncoder,
        *,
        activation: str = "relu",
        code_activation: str = "identity",
        tied: bool = False,
        per_feature: int = 1,
    ) -> None:
        super().__init__()
        affine = encoder.affine[::-1]
        if tied and per_feature != 1:
            mend = "set tied=False"
            raise SettingError("tied=False where features need several parameters", "tied=True", mend)
        widths = [layer.out_features for layer in affine] + [encoder.in_features * per_feature]
        units = [*[activation] * (len(affine) - 1), "identity"]
        if tied:
            layers: list[nn.Module] = []
            for layer, unit in zip(affine, units, strict=True):
                layers += [TransposedLinear(layer), ACTIVATIONS[unit]()]
            self.layers = nn.Sequential(*layers[:-1])
        else:
            self.layers = nn.Sequential(*list(_chain(widths, units, before=code_activation))[:-1])
        self.in_features, self.out_features = encoder.out_features, widths[-1]

    def forward(self, codes: Float[Tensor, "batch {self.in_features}"]) -> Float[Tensor, "batch {self.out_features}"]:
        """Return the parameters for each row."""
        return self.layers(codes)


class ConvolutionalEncoder(nn.Module):
    """Convolutions that halve the grid, then an affine map to the code; it takes pictures as flat rows.

    Parameters
    ----------
    picture : (height, width, channels)
        What a row is.
    channels : sequence of int
        Channels of each 3 x 3 convolution; it halves the grid where both sides have 4 cells or more.
    code : int
        Units of the code.
    activation, code_activation : str
        Names in ``ACTIVATIONS``.
    k : int, optional
        Make codes k-sparse.

    Attributes
    ----------
    grids : list of (int, int)
        Height and width before each convolution and after the last.

    Examples
    --------
    >>> encoder = ConvolutionalEncoder((28, 28, 1), (8, 16), 10)
    >>> encoder(torch.zeros(2, 784)).shape, encoder.grids
    (torch.Size([2, 10]), [(28, 28), (14, 14), (7, 7)])

    References
    ----------
    Goodfellow et al. 2016, §9.1-9.2, §14.3.
    """

    def __init__(
        self,
        picture: tuple[int, int, int],
        channels: Sequence[int] = (32, 64),
        code: int = 32,
        *,
        activation: str = "relu",
        code_activation: str = "identity",
        k: int | None = None,
    ) -> None:
        super().__init__()
        height, width, colours = picture
        check_sizes(height=height, width=width, colours=colours, code=code)
        if not channels or min(channels) < 1:
            raise SettingError("one convolution or more", f"channels={tuple(channels)}", "set channels=(32, 64)")
        chosen(activation, tuple(ACTIVATIONS), "activation")
        chosen(code_activation, tuple(ACTIVATIONS), "code_activation")
        self.picture, self.grids = (height, width, colours), [(height, width)]
        layers: list[nn.Module] = []
        for index, (read, write) in enumerate(pairwise([colours, *channels])):
            stride = 2 if min(self.grids[-1]) >= _HALVED_FROM else 1
            layer = nn.Conv2d(read, write, 3, stride=stride, padding=1)
            initialize(layer, "auto", activation, first=index == 0)
            layers += [layer, ACTIVATIONS[activation]()]
            rows, columns = self.grids[-1]
            self.grids.append((-(-rows // stride), -(-columns // stride)))
        self.maps = nn.Sequential(*layers)
        rows, columns = self.grids[-1]
        dense = nn.Linear(channels[-1] * rows * columns, code)
        initialize(dense, "auto", activation)
        self.dense = nn.Sequential(dense, ACTIVATIONS[code_activation](), *([] if k is None else [KLargest(k)]))
        self.in_features, self.out_features = height * width * colours, code

    def forward(self, inputs: Float[Tensor, "batch {self.in_features}"]) -> Float[Tensor, "batch {self.out_features}"]:
        """Return the codes."""
        maps = channels_last(inputs.view(-1, *self.picture).permute(0, 3, 1, 2))
        return self.dense(self.maps(maps).flatten(1))

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """The convolutions, first to last."""
        return [layer for layer in self.maps if isinstance(layer, nn.Conv2d)]


class ConvolutionalDecoder(nn.Module):
    """The mirror of a convolutional encoder: transposed convolutions back to a picture, as a flat row.

    Parameters
    ----------
    encoder : ConvolutionalEncoder
        What it mirrors.
    activation, code_activation : str
        Activation of its hidden layers, and that of the codes that come in.
    tied : bool
        Use the transposed weights of the encoder.
    per_feature : int
        Parameters for each feature.

    Examples
    --------
    >>> encoder = ConvolutionalEncoder((28, 28, 1), (8, 16), 10)
    >>> ConvolutionalDecoder(encoder)(torch.zeros(2, 10)).shape
    torch.Size([2, 784])

    References
    ----------
    Goodfellow et al. 2016, §9.5, eqs. 9.11-9.13 (the transposed convolution).
    """

    def __init__(
        self,
        encoder: ConvolutionalEncoder,
        *,
        activation: str = "relu",
        code_activation: str = "identity",
        tied: bool = False,
        per_feature: int = 1,
    ) -> None:
        super().__init__()
        if tied and per_feature != 1:
            mend = "set tied=False"
            raise SettingError("tied=False where features need several parameters", "tied=True", mend)
        self.grids, self.per_feature = encoder.grids[::-1], per_feature
        dense: Any = encoder.dense[0]
        if tied:
            self.dense: nn.Module = TransposedLinear(dense)
        else:
            self.dense = nn.Linear(dense.out_features, dense.in_features)
            initialize(self.dense, "auto", code_activation)
        convolutions = encoder.convolutions[::-1]
        self.layers = nn.ModuleList()
        for index, layer in enumerate(convolutions):
            if tied:
                mirrored = layer
            else:
                colours = layer.in_channels * (per_feature if index == len(convolutions) - 1 else 1)
                mirrored = nn.Conv2d(colours, layer.out_channels, 3, stride=layer.stride, padding=1, bias=False)  # type: ignore[arg-type]
                # Each cell of the larger grid is reached by 9 / stride² weights of every channel.
                reached = 9 * layer.out_channels / (layer.stride[0] * layer.stride[1])
                nn.init.normal_(mirrored.weight, std=(2 / reached) ** 0.5)
            self.layers.append(TransposedConvolution(mirrored))
        self.unit = ACTIVATIONS[activation]()
        self.channels = convolutions[0].out_channels
        self.in_features, self.out_features = encoder.out_features, encoder.in_features * per_feature

    def forward(self, codes: Float[Tensor, "batch {self.in_features}"]) -> Float[Tensor, "batch {self.out_features}"]:
        """Return the parameters for each row, all features' first ones first."""
        maps = self.unit(self.dense(codes)).view(-1, self.channels, *self.grids[0])
        for index, layer in enumerate(self.layers):
            maps = layer(maps if index == 0 else self.unit(maps), size=self.grids[index + 1])
        parts = maps.unflatten(1, (self.per_feature, -1))  # parameter, colour
        return parts.permute(0, 1, 3, 4, 2).flatten(1)


class SharedScale(nn.Module):
    """A decoder of means, with one standard deviation a feature that is the same for every row.

    Parameters
    ----------
    decoder : Module
        From codes to means.
    features : int
        How many means.

    Examples
    --------
    >>> SharedScale(nn.Linear(2, 5), 5)(torch.zeros(3, 2)).shape
    torch.Size([3, 10])
    """

    def __init__(self, decoder: nn.Module, features: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.scale = nn.Parameter(torch.full((features,), inverse_softplus(FIRST_SCALE)))

    def forward(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch parameters"]:
        """Return means, then what the standard deviations are made of."""
        means = self.decoder(codes)
        return torch.cat([means, self.scale.expand_as(means)], 1)


class AutoencoderNetwork(nn.Module):
    """Preparation, encoder and decoder; returns the parameters of the distribution of the prepared row.

    Parameters
    ----------
    prepare : Module
        From rows as they come to those that are reconstructed (``Standardize``); ``nn.Identity()`` where they are one.
    encoder, decoder : Module
        From prepared rows to codes, and from codes to parameters.

    Examples
    --------
    >>> encoder = DenseEncoder(4, (), 2)
    >>> network = AutoencoderNetwork(nn.Identity(), encoder, DenseDecoder(encoder))
    >>> network.encode(torch.zeros(3, 4)).shape, network(torch.zeros(3, 4)).shape
    (torch.Size([3, 2]), torch.Size([3, 4]))

    References
    ----------
    Goodfellow et al. 2016, figure 14.1: our ``encode`` is the book's f, our ``decode`` its g.
    """

    def __init__(self, prepare: nn.Module, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.prepare, self.encoder, self.decoder = prepare, encoder, decoder

    def encode(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch code"]:
        """Return the codes of rows as they come."""
        return self.encoder(self.prepare(inputs))

    def decode(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch parameters"]:
        """Return the parameters that codes stand for."""
        return self.decoder(codes)

    def forward(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch parameters"]:
        """Return the parameters of the reconstruction."""
        return self.decode(self.encode(inputs))


def _chain(widths: Sequence[int], units: Sequence[str], *, before: str | None) -> nn.Sequential:
    """Return affine maps, each with its unit; ``before`` is the unit that the first one reads, None for data."""
    if min(widths) < 1:
        raise SettingError("layers of 1 unit or more", str(list(widths)), "set for example hidden=(128,)")
    layers: list[nn.Module] = []
    fed = before
    for (read, write), unit in zip(pairwise(widths), units, strict=True):
        chosen(unit, tuple(ACTIVATIONS), "activation")
        layer = nn.Linear(read, write)
        initialize(layer, "auto", fed or "identity", first=fed is None)
        layers += [layer, ACTIVATIONS[unit]()]
        fed = unit
    return nn.Sequential(*layers)
