"""Networks of latent-variable models and generators: dense or convolutional, by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.networks.feedforward import MLP
from gradus.networks.heads.base import inverse_softplus, single
from gradus.networks.hidden_units import hidden_unit
from gradus.networks.initialization import initialize
from gradus.research.generative.likelihoods import Likelihood

__all__ = ["Body", "Decoder", "Encoder", "LatentVariableNetwork", "Shape", "picture_shape"]

Kind = Literal["mlp", "conv"]
LEAST_SCALE = 1e-5  # of an approximate posterior: its logarithm stays finite


class Shape(NamedTuple):
    """What a network is made of: kind, widths of dense layers, channels of convolutions, hidden unit."""

    kind: Kind
    hidden: Sequence[int]
    channels: Sequence[int]
    activation: str = "relu"
    normalization: str | None = None


def picture_shape(row_shape: Sequence[int]) -> tuple[int, int, int]:
    """Return height, width and channels of one row, which is a picture.

    Raises
    ------
    InputError
        If it is a row of a table.

    Examples
    --------
    >>> picture_shape((28, 28))
    (28, 28, 1)
    """
    if len(row_shape) not in (2, 3):
        mend = "pass X of shape (n, height, width) or (n, height, width, channels), or set network='mlp'"
        raise InputError("pictures where network='conv'", f"rows of shape {tuple(row_shape)}", mend)
    height, width = row_shape[:2]
    return int(height), int(width), int(row_shape[2]) if len(row_shape) == 3 else 1


def _sizes(row_shape: Sequence[int], steps: int) -> list[tuple[int, int]]:
    """Return heights and widths from the picture down, halved (rounded up) at each step."""
    height, width, _ = picture_shape(row_shape)
    sizes = [(height, width)]
    for _ in range(steps):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def _norm(name: str | None, channels: int) -> list[nn.Module]:
    if name is None:
        return []
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    groups = 1 if name != "group" else math.gcd(channels, 8)
    return [nn.GroupNorm(groups, channels)]  # over all channels: layer normalization of a picture


class Body(nn.Module):
    """From prepared rows to features: dense layers, or strided convolutions and dense layers after them.

    Parameters
    ----------
    inputs : int
        Numbers of one row.
    shape : Shape
        Kind and widths.
    row_shape : sequence of int
        What a row looks like; read where the kind is ``"conv"``.

    Attributes
    ----------
    out_features : int
        Width of the features.

    Examples
    --------
    >>> Body(784, Shape("conv", (64,), (8, 16)), (28, 28))(torch.zeros(2, 784)).shape
    torch.Size([2, 64])
    """

    def __init__(self, inputs: int, shape: Shape, row_shape: Sequence[int]) -> None:
        super().__init__()
        self.picture: tuple[int, int, int] | None = None
        self.convolutions = nn.Sequential()
        width = inputs
        if shape.kind == "conv":
            self.picture = picture_shape(row_shape)
            channels = self.picture[2]
            for index, wide in enumerate(shape.channels):
                layer = nn.Conv2d(channels, wide, 3, stride=2, padding=1)
                initialize(layer, activation=shape.activation, first=index == 0)
                norm = _norm(shape.normalization if index else None, wide)
                self.convolutions.extend([layer, *norm, hidden_unit(shape.activation)[0]])
                channels = wide
            height, across = _sizes(row_shape, len(shape.channels))[-1]
            width = channels * height * across
        self.dense = MLP(width, shape.hidden, activation=shape.activation, normalization=shape.normalization)
        self.out_features = self.dense.out_features

    def forward(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch features"]:
        """Return the features."""
        if self.picture is None:
            return self.dense(inputs)
        pictures = inputs.view(-1, *self.picture).permute(0, 3, 1, 2)
        return self.dense(self.convolutions(pictures).flatten(1))


class Decoder(nn.Module):
    """From latent vectors to a row's parameters: a `Body` the other way round.

    Parameters
    ----------
    latent : int
        Length of a latent vector.
    outputs : int
        Numbers for one row; with convolutions a multiple of the row's size.
    shape : Shape
        Kind and widths in the encoder's order, which is turned round here.
    row_shape : sequence of int
        What a row looks like; read where the kind is ``"conv"``.
    start : Tensor of shape (outputs,), optional
        Added to the outputs, at first.

    Examples
    --------
    >>> Decoder(2, 30, Shape("conv", (16,), (4, 8)), (5, 6))(torch.zeros(3, 2)).shape
    torch.Size([3, 30])
    """

    def __init__(
        self, latent: int, outputs: int, shape: Shape, row_shape: Sequence[int], start: Tensor | None = None
    ) -> None:
        super().__init__()
        self.latent = latent
        options = {"activation": shape.activation, "normalization": shape.normalization}
        self.dense = MLP(latent, list(shape.hidden)[::-1], **options)  # type: ignore[arg-type]
        self.sizes: list[tuple[int, int]] = []
        self.upward = nn.ModuleList()
        started = torch.zeros(outputs) if start is None else start.detach().float()
        if shape.kind == "mlp":
            self.last = nn.Linear(self.dense.out_features, outputs)
            initialize(self.last, "glorot")
            with torch.no_grad():
                self.last.bias.copy_(started)
            return
        height, width, channels = picture_shape(row_shape)
        each, rest = divmod(outputs, height * width * channels)
        if rest:
            raise InputError("outputs that tile the picture", str(outputs), "set network='mlp'")
        self.each, self.channels = each, channels
        self._convolve(shape, row_shape, each * channels)
        self.bias = nn.Parameter(started.clone())  # one for each value: pictures differ from place to place

    def _convolve(self, shape: Shape, row_shape: Sequence[int], last: int) -> None:
        self.sizes = _sizes(row_shape, len(shape.channels))[::-1]
        widths = [*list(shape.channels)[::-1], last]
        self.deep = (widths[0], *self.sizes[0])
        self.first = nn.Linear(self.dense.out_features, math.prod(self.deep))
        initialize(self.first, activation=shape.activation)
        self.unit = hidden_unit(shape.activation)[0]
        self.first_norm = nn.Sequential(*_norm(shape.normalization, widths[0]))
        for index in range(len(widths) - 1):
            closing = index == len(widths) - 2
            layer = nn.ConvTranspose2d(widths[index], widths[index + 1], 4, stride=2, padding=1, bias=not closing)
            # four weights of each channel meet an output
            nn.init.normal_(layer.weight, std=math.sqrt((1 if closing else 2) / (4 * widths[index])))
            norm = [] if closing else _norm(shape.normalization, widths[index + 1])
            self.upward.append(layer if closing else nn.Sequential(layer, *norm, hidden_unit(shape.activation)[0]))

    def forward(self, latent: Float[Tensor, " *draws latent"]) -> Float[Tensor, " *draws outputs"]:
        """Return the parameters of each row; any number of leading axes."""
        flat = latent.reshape(-1, self.latent)
        if not self.sizes:
            return single(self.last(self.dense(flat))).view(*latent.shape[:-1], -1)
        maps = self.unit(self.first_norm(self.first(self.dense(flat)).view(-1, *self.deep)))
        for layer, (height, width) in zip(self.upward, self.sizes[1:], strict=True):
            maps = layer(maps)[..., :height, :width]
        pictures = maps.unflatten(1, (self.each, self.channels)).permute(0, 1, 3, 4, 2)
        return (pictures.reshape(len(flat), -1) + self.bias).view(*latent.shape[:-1], -1)


class Encoder(nn.Module):
    """From prepared rows to the mean and standard deviation of a Gaussian over latent vectors.

    Parameters
    ----------
    body : Body
        Rows to features.
    latent : int
        Length of a latent vector.

    Examples
    --------
    >>> mean, scale = Encoder(Body(6, Shape("mlp", (8,), ()), (6,)), 2)(torch.zeros(4, 6))
    >>> mean.shape, bool((scale > 0).all())
    (torch.Size([4, 2]), True)
    """

    def __init__(self, body: nn.Module, latent: int) -> None:
        super().__init__()
        self.body, self.latent = body, latent
        self.head = nn.Linear(int(body.out_features), 2 * latent)  # type: ignore[arg-type]
        initialize(self.head, "glorot")
        with torch.no_grad():  # a small spread of the scales at first, around one
            self.head.weight[latent:].mul_(0.1)
            self.head.bias[latent:].fill_(inverse_softplus(1 - LEAST_SCALE))

    def forward(self, prepared: Float[Tensor, "batch inputs"]) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations, each of shape (batch, latent)."""
        mean, raw = single(self.head(self.body(prepared))).split(self.latent, -1)
        return mean, F.softplus(raw) + LEAST_SCALE


class LatentVariableNetwork(nn.Module):
    """``p(z) = N(0, I)``, ``p(x | z)`` by a decoder and a likelihood, and ``q(z | x)`` by an encoder.

    Parameters
    ----------
    encoder : Encoder
        Prepared rows to the moments of ``q``.
    decoder : Decoder
        Latent vectors to the likelihood's parameters.
    likelihood : Likelihood
        Knows rows in their own units.

    Examples
    --------
    >>> from gradus.research.generative.likelihoods import GaussianLikelihood
    >>> shape, likelihood = Shape("mlp", (8,), ()), GaussianLikelihood(torch.zeros(3), torch.ones(3))
    >>> network = LatentVariableNetwork(Encoder(Body(3, shape, (3,)), 2), Decoder(2, 3, shape, (3,)), likelihood)
    >>> mean, scale = network(torch.zeros(5, 3))
    >>> network.decoder(mean).shape
    torch.Size([5, 3])

    References
    ----------
    Goodfellow et al. 2016, §20.10.3; Kingma & Welling 2014, Auto-Encoding Variational Bayes.
    """

    def __init__(self, encoder: nn.Module, decoder: Decoder, likelihood: Likelihood) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood

    def forward(self, rows: Float[Tensor, "batch features"]) -> tuple[Tensor, Tensor]:
        """Return the means and standard deviations of ``q(z | x)``."""
        return self.encoder(self.likelihood.prepare(rows))
