"""What a decoder says of a row: Bernoulli, Gaussian, discretized logistic and categorical columns.

Unlike a head (`gradus.networks.heads`), a likelihood has no weights of its own beside a shared spread: it reads the
last layer of any decoder, also of a convolutional one, and takes several decodings of one row at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.networks.heads.base import inverse_softplus

__all__ = [
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "DiscretizedLogisticLikelihood",
    "GaussianLikelihood",
    "Likelihood",
    "Spread",
]

Spread = Literal["shared", "columns", "learned"]

FLOOR = 1e-3  # least spread as a share of the data's scale: without one a density is unbounded
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Likelihood(nn.Module, ABC):
    """Base of the likelihoods ``p(x | decoder outputs)``; rows are in the data's own units.

    Attributes
    ----------
    features : int
        Values of one row.
    outputs : int
        Numbers a decoder gives for one row: ``features`` for each parameter.
    inputs : int
        Numbers an encoder reads of one row.
    discrete : bool
        Whether rows have probabilities; otherwise they have densities.
    """

    discrete: bool

    def __init__(self, features: int, outputs: int, inputs: int) -> None:
        super().__init__()
        self.features, self.outputs, self.inputs = features, outputs, inputs

    @abstractmethod
    def prepare(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch inputs"]:
        """Return rows as an encoder reads them: centred, of order one."""

    @abstractmethod
    def log_prob(
        self, outputs: Float[Tensor, " *draws batch outputs"], rows: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " *draws batch"]:
        """Return ``log p(row)`` in nats, summed over the row's values."""

    @abstractmethod
    def point(self, outputs: Float[Tensor, " *batch outputs"]) -> Float[Tensor, " *batch features"]:
        """Return the row to show for each decoding: the mean, of categories the likeliest."""

    @abstractmethod
    def draw(
        self, outputs: Float[Tensor, " *batch outputs"], generator: torch.Generator
    ) -> Float[Tensor, " *batch features"]:
        """Draw a row for each decoding."""

    @abstractmethod
    def start(self) -> Float[Tensor, " outputs"]:
        """Return the outputs that describe the training rows without looking at one: where a decoder starts."""


class BernoulliLikelihood(Likelihood):
    """Independent bits: ``log p(x) = Σ_j x_j a_j - log(1 + exp a_j)`` with the outputs ``a``.

    Parameters
    ----------
    mean : Tensor of shape (features,)
        Share of ones in each column, where decoders start.
    full : float
        Value that stands for a one.

    Examples
    --------
    >>> bits = BernoulliLikelihood(torch.tensor([0.5, 0.5]))
    >>> round(bits.log_prob(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])).item(), 4)  # -2 log 2
    -1.3863

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.2, eq. 6.20-6.22.
    """

    discrete = True
    mean: Tensor

    def __init__(self, mean: Float[Tensor, " features"], full: float = 1.0) -> None:
        super().__init__(len(mean), len(mean), len(mean))
        self.full = float(full)
        self.register_buffer("mean", mean.float())

    def prepare(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch inputs"]:
        """Return bits less their mean."""
        return (rows if self.full == 1 else rows / self.full) - self.mean

    def log_prob(
        self, outputs: Float[Tensor, " *draws batch outputs"], rows: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " *draws batch"]:
        """Return the log-probability of each row; rows hold 0 and ``full`` only."""
        bits = rows if self.full == 1 else rows / self.full
        return (outputs * bits).sum(-1) - F.softplus(outputs).sum(-1)

    def point(self, outputs: Float[Tensor, " *batch outputs"]) -> Float[Tensor, " *batch features"]:
        """Return the probability of a one, times ``full``."""
        return torch.sigmoid(outputs) * self.full

    def draw(
        self, outputs: Float[Tensor, " *batch outputs"], generator: torch.Generator
    ) -> Float[Tensor, " *batch features"]:
        """Draw bits, as 0 and ``full``."""
        return torch.bernoulli(torch.sigmoid(outputs), generator=generator) * self.full

    def start(self) -> Float[Tensor, " outputs"]:
        """Return the log-odds of the columns' means, kept within ±5."""
        return torch.logit(self.mean.double(), 1e-9).clamp(-5, 5).to(self.mean.dtype)


class GaussianLikelihood(Likelihood):
    """Independent Gaussians: ``log p(x) = Σ_j log N(x_j; m_j, s_j²)``, a density in the units of the data.

    Parameters
    ----------
    location, scale : Tensor of shape (features,)
        What the decoder's units are in the data's: its outputs times ``scale`` plus ``location`` are means.
    spread : {"shared", "columns", "learned"}
        Standard deviation: one learned number times ``scale``, one for each column, or an output of the decoder.

    Examples
    --------
    >>> normal = GaussianLikelihood(torch.zeros(1), torch.ones(1))
    >>> round(normal.log_prob(torch.zeros(1, 1), torch.zeros(1, 1)).item(), 4)  # -log(2π) / 2
    -0.9189

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.1, §6.2.2.4.
    """

    discrete = False
    location: Tensor
    scale: Tensor

    def __init__(
        self, location: Float[Tensor, " features"], scale: Float[Tensor, " features"], spread: Spread = "shared"
    ) -> None:
        size = len(location)
        super().__init__(size, 2 * size if spread == "learned" else size, size)
        self.spread = spread
        self.register_buffer("location", location.float())
        self.register_buffer("scale", scale.float())
        if spread != "learned":
            shape = () if spread == "shared" else (size,)
            self.raw_spread = nn.Parameter(torch.full(shape, inverse_softplus(1 - FLOOR)))

    def deviation(self, outputs: Tensor) -> Tensor:
        """Return the standard deviations in units of ``scale``."""
        raw = outputs[..., self.features :] if self.spread == "learned" else self.raw_spread
        return F.softplus(raw) + FLOOR

    def prepare(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch inputs"]:
        """Return standardized rows."""
        return (rows - self.location) / self.scale

    def log_prob(
        self, outputs: Float[Tensor, " *draws batch outputs"], rows: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " *draws batch"]:
        """Return the log-density of each row in its own units."""
        deviation = self.deviation(outputs)
        errors = (self.prepare(rows) - outputs[..., : self.features]) / deviation
        logs = deviation.log() + self.scale.log() + _HALF_LOG_2PI
        return -0.5 * errors.square().sum(-1) - logs.expand_as(errors).sum(-1)

    def point(self, outputs: Float[Tensor, " *batch outputs"]) -> Float[Tensor, " *batch features"]:
        """Return the mean."""
        return torch.addcmul(self.location, outputs[..., : self.features], self.scale)

    def draw(
        self, outputs: Float[Tensor, " *batch outputs"], generator: torch.Generator
    ) -> Float[Tensor, " *batch features"]:
        """Draw numbers, noise included."""
        mean = self.point(outputs)
        noise = torch.empty_like(mean).normal_(generator=generator)
        return mean + noise * self.deviation(outputs) * self.scale

    def start(self) -> Float[Tensor, " outputs"]:
        """Return a mean of zero and a deviation of one, in standardized units."""
        mean = torch.zeros_like(self.location)
        return mean if self.spread != "learned" else torch.cat([mean, mean + inverse_softplus(1 - FLOOR)])


class DiscretizedLogisticLikelihood(Likelihood):
    """Whole numbers ``0 .. levels - 1``: the mass that a logistic distribution has around each.

    ``p(x) = σ((u + h - m) / s) - σ((u - h - m) / s)`` with ``u`` the value mapped to [-1, 1] and ``h`` half the step;
    the lowest and the highest value take the tails, so the probabilities sum to one.

    Parameters
    ----------
    mean : Tensor of shape (features,)
        Mean of each column, where decoders start.
    levels : int
        Number of values: 256 for bytes.
    spread : {"shared", "columns", "learned"}
        Scale ``s``: one learned number, one for each column, or an output of the decoder.

    Examples
    --------
    >>> pixel = DiscretizedLogisticLikelihood(torch.tensor([1.5]), levels=4)
    >>> every = torch.arange(4.0)[:, None]
    >>> round(pixel.log_prob(torch.zeros(4, 1), every).exp().sum().item(), 5)
    1.0

    References
    ----------
    Kingma et al. 2016, Improved Variational Inference with Inverse Autoregressive Flow, §5.2; Salimans et al. 2017,
    PixelCNN++, §2.1.
    """

    discrete = True
    mean: Tensor

    def __init__(self, mean: Float[Tensor, " features"], levels: int = 256, spread: Spread = "shared") -> None:
        size = len(mean)
        super().__init__(size, 2 * size if spread == "learned" else size, size)
        self.levels, self.spread, self.middle = levels, spread, (levels - 1) / 2
        self.register_buffer("mean", mean.float())
        if spread != "learned":
            self.raw_spread = nn.Parameter(torch.full(() if spread == "shared" else (size,), inverse_softplus(0.2)))

    def _scale(self, outputs: Tensor) -> Tensor:
        raw = outputs[..., self.features :] if self.spread == "learned" else self.raw_spread
        return F.softplus(raw) + FLOOR

    def prepare(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch inputs"]:
        """Return values between -1 and 1, less their mean."""
        return (rows - self.mean) / self.middle

    def log_prob(
        self, outputs: Float[Tensor, " *draws batch outputs"], rows: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " *draws batch"]:
        """Return the log-probability of each row of whole numbers."""
        scale = self._scale(outputs)
        centred = rows / self.middle - 1 - outputs[..., : self.features]
        step = 0.5 / self.middle
        above, below = (centred + step) / scale, (centred - step) / scale
        # σ(a) - σ(b) = σ(a) σ(-b) (1 - exp(b - a)), of which the ends of the range keep one factor.
        lowest, highest = rows <= 0, rows >= self.levels - 1
        logs = torch.where(highest, 0.0, F.logsigmoid(above)) + torch.where(lowest, 0.0, F.logsigmoid(-below))
        inside = torch.log(-torch.expm1(-2 * step / scale))
        return (logs + torch.where(lowest | highest, 0.0, inside)).sum(-1)

    def point(self, outputs: Float[Tensor, " *batch outputs"]) -> Float[Tensor, " *batch features"]:
        """Return the logistic's location, within the range."""
        return ((outputs[..., : self.features] + 1) * self.middle).clamp(0, self.levels - 1)

    def draw(
        self, outputs: Float[Tensor, " *batch outputs"], generator: torch.Generator
    ) -> Float[Tensor, " *batch features"]:
        """Draw whole numbers."""
        location = outputs[..., : self.features]
        uniform = torch.rand(location.shape, generator=generator, dtype=location.dtype, device=location.device)
        drawn = location + self._scale(outputs) * torch.logit(uniform, 1e-7)
        return ((drawn + 1) * self.middle).round().clamp(0, self.levels - 1).abs()  # no zero of negative sign

    def start(self) -> Float[Tensor, " outputs"]:
        """Return each column's mean, and a scale of a tenth of the range."""
        mean = self.mean / self.middle - 1
        return mean if self.spread != "learned" else torch.cat([mean, torch.full_like(mean, inverse_softplus(0.2))])


class CategoricalLikelihood(Likelihood):
    """Columns that take a few values each: ``log p(x) = Σ_j log softmax(a_j)[x_j]``.

    Parameters
    ----------
    values : sequence of Tensor
        The values of each column, sorted.
    shares : sequence of Tensor
        How often each occurs among the training rows, where decoders start.

    Raises
    ------
    SettingError
        If a column has no value.

    Examples
    --------
    >>> columns = CategoricalLikelihood([torch.tensor([1.0, 2.0, 5.0])], [torch.tensor([0.5, 0.3, 0.2])])
    >>> round(columns.log_prob(columns.start()[None], torch.tensor([[5.0]])).exp().item(), 4)
    0.2

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.3.
    """

    discrete = True
    values: Tensor
    present: Tensor
    place: Tensor
    shares: Tensor

    def __init__(self, values: Sequence[Tensor], shares: Sequence[Tensor]) -> None:
        sizes = [len(column) for column in values]
        if min(sizes, default=0) < 1:
            raise SettingError("columns with a value or more", "none", "drop empty columns")
        super().__init__(len(sizes), sum(sizes), sum(sizes))
        widest = max(sizes)
        table = torch.full((len(sizes), widest), math.nan)
        place = torch.zeros((len(sizes), widest), dtype=torch.int64)
        low = 0
        for column, known in enumerate(values):
            table[column, : len(known)] = known.float()
            place[column, : len(known)] = torch.arange(low, low + len(known))
            low += len(known)
        self.register_buffer("values", table)
        self.register_buffer("present", ~table.isnan())
        self.register_buffer("place", place)
        self.register_buffer("shares", torch.cat([share.float() for share in shares]))

    def _one_hot(self, rows: Tensor) -> Tensor:
        return rows.unsqueeze(-1) == self.values

    def _logs(self, outputs: Tensor) -> Tensor:
        """Return log-probabilities of shape (..., features, widest), -inf where a column has no such value."""
        logits = outputs[..., self.place].masked_fill(~self.present, -math.inf)
        return logits.log_softmax(-1)

    def prepare(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch inputs"]:
        """Return one-hot codes less their shares."""
        return self._one_hot(rows)[:, self.present].to(rows.dtype) - self.shares

    def log_prob(
        self, outputs: Float[Tensor, " *draws batch outputs"], rows: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " *draws batch"]:
        """Return the log-probability of each row; -inf where a value is none of the column's."""
        chosen = self._one_hot(rows)
        each = self._logs(outputs).masked_fill(~chosen, 0.0).sum(-1)
        return each.masked_fill(~chosen.any(-1), -math.inf).sum(-1)

    def point(self, outputs: Float[Tensor, " *batch outputs"]) -> Float[Tensor, " *batch features"]:
        """Return the likeliest value of each column."""
        return self._taken(self._logs(outputs).argmax(-1))

    def draw(
        self, outputs: Float[Tensor, " *batch outputs"], generator: torch.Generator
    ) -> Float[Tensor, " *batch features"]:
        """Draw a value of each column."""
        shares = self._logs(outputs).exp()
        flat = torch.multinomial(shares.reshape(-1, shares.shape[-1]), 1, generator=generator)
        return self._taken(flat.view(shares.shape[:-1]))

    def _taken(self, index: Tensor) -> Tensor:
        return self.values.expand(*index.shape, -1).gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def start(self) -> Float[Tensor, " outputs"]:
        """Return the logarithms of the shares."""
        return self.shares.clamp_min(1e-4).log()
