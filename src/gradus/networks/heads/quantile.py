"""Quantile regression: a head of non-crossing quantiles and the distribution they describe."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.foundations.log_space import inverse_softplus
from gradus.networks.feedforward import initialize
from gradus.networks.heads.base import Reduction, reduce
from gradus.networks.heads.regression import RegressionHead

__all__ = ["QuantileDistribution", "QuantileHead"]


class QuantileDistribution(Distribution):
    r"""The distribution with given quantiles: inverse CDF linear between them, exponential tails beyond.

    Between neighbours :math:`q_i, q_{i+1}` the density is the constant
    :math:`(\tau_{i+1}-\tau_i)/(q_{i+1}-q_i)`. Below :math:`q_1` it falls as :math:`e^{(x-q_1)/\beta}` from
    the value in the first interval, which with the mass :math:`\tau_1` to place makes
    :math:`\beta = \tau_1 (q_2-q_1)/(\tau_2-\tau_1)`; likewise above the last. Tails are an assumption, not
    data.

    Parameters
    ----------
    levels : Tensor of shape (n,)
        Levels in (0, 1), increasing; two or more.
    values : Tensor of shape (..., n)
        The quantiles at these levels, non-decreasing along the last axis. Ties are spread by the floating
        type's resolution, so that a density exists.

    Raises
    ------
    InputError
        If there are fewer than two levels or shapes do not match.

    Examples
    --------
    >>> quartiles = QuantileDistribution(torch.tensor([0.25, 0.5, 0.75]), torch.tensor([[0.0, 1.0, 3.0]]))
    >>> quartiles.cdf(torch.tensor([2.0])).tolist(), quartiles.icdf(torch.tensor([0.5])).tolist()
    ([0.625], [1.0])
    """

    arg_constraints = {"levels": constraints.unit_interval, "values": constraints.real_vector}  # noqa: RUF012
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        levels: Float[Tensor, " levels"],
        values: Float[Tensor, "*batch levels"],
        validate_args: bool | None = None,
    ) -> None:
        if len(levels) < 2 or values.shape[-1] != len(levels):
            received = f"{len(levels)} levels and values of shape {tuple(values.shape)}"
            raise InputError(
                "two or more levels and a value for each", received, "name for example quantiles=(0.1, 0.9)"
            )
        self.levels, self.values = levels.to(values), values
        rises = values.diff(dim=-1)
        resolution = torch.finfo(values.dtype).eps * values.abs().amax(-1, keepdim=True).clamp_min(1e-30)
        self._widths, self._steps = torch.maximum(rises, resolution), self.levels.diff()
        # Sums of the widened intervals, so that cdf and icdf stay inverse to each other at ties.
        self._knots = values[..., :1] + F.pad(self._widths.cumsum(-1), (1, 0))
        self._lower = self.levels[0] * self._widths[..., 0] / self._steps[0]
        self._upper = (1 - self.levels[-1]) * self._widths[..., -1] / self._steps[-1]
        super().__init__(values.shape[:-1], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> QuantileDistribution:
        """Return the distribution with its batch shape broadcast."""
        values = self.values.expand(*batch_shape, len(self.levels))
        return QuantileDistribution(self.levels, values, validate_args=False)

    def _pick(self, table: Tensor, index: Tensor) -> Tensor:
        return table.expand(*index.shape, table.shape[-1]).gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile at each level in (0, 1)."""
        levels, first, last = self.levels, self.levels[0], self.levels[-1]
        value = value.expand(torch.broadcast_shapes(value.shape, self.batch_shape))
        index = (torch.searchsorted(levels, value.contiguous(), right=True) - 1).clamp(0, len(levels) - 2)
        inside = self._pick(self._knots, index) + self._pick(self._widths, index) * (
            (value - levels[index]) / self._steps[index]
        )
        # Clamping keeps the logarithms of the branches not taken, and their gradients, finite.
        below = self._knots[..., 0] + self._lower * torch.log(value.clamp(max=float(first)) / first)
        above = self._knots[..., -1] - self._upper * torch.log((1 - value.clamp(min=float(last))) / (1 - last))
        return torch.where(value < first, below, torch.where(value > last, above, inside))

    def _locate(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the interval of each value, how far beyond each end it lies, and the value broadcast."""
        value = value.expand(torch.broadcast_shapes(value.shape, self.batch_shape))
        index = ((value.unsqueeze(-1) >= self._knots).sum(-1) - 1).clamp(0, len(self.levels) - 2)
        below = (self._knots[..., 0] - value).clamp_min(0) / self._lower
        above = (value - self._knots[..., -1]).clamp_min(0) / self._upper
        return index, below, above, value

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a draw at or below each value."""
        index, below, above, value = self._locate(value)
        within = (value - self._pick(self._knots, index)) / self._pick(self._widths, index)
        inside = self.levels[index] + self._steps[index] * within.clamp(0, 1)
        tails = self.levels[0] * torch.exp(-below), 1 - (1 - self.levels[-1]) * torch.exp(-above)
        return torch.where(below > 0, tails[0], torch.where(above > 0, tails[1], inside))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the logarithm of the density; at a knot, of the interval to its right."""
        if self._validate_args:
            self._validate_sample(value)
        index, below, above, value = self._locate(value)
        # A tail starts at the density of the interval beside it.
        return torch.log(self._steps[index]) - torch.log(self._pick(self._widths, index)) - below - above

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw by inverting uniform numbers."""
        shape = self._extended_shape(torch.Size(sample_shape))
        tiny = torch.finfo(self.values.dtype).eps
        uniform = torch.rand(shape, dtype=self.values.dtype, device=self.values.device)
        return self.icdf(uniform.clamp(tiny, 1 - tiny))

    @property
    def mean(self) -> Tensor:
        """The mean, tails included."""
        left, right = self._knots[..., :-1], self._knots[..., 1:]
        tails = self.levels[0] * (left[..., 0] - self._lower) + (1 - self.levels[-1]) * (right[..., -1] + self._upper)
        return (self._steps * (left + right) / 2).sum(-1) + tails

    @property
    def variance(self) -> Tensor:
        """The variance, tails included."""
        mean = self.mean.unsqueeze(-1)
        left, right = self._knots[..., :-1] - mean, self._knots[..., 1:] - mean
        inside = (self._steps * (left.square() + left * right + right.square()) / 3).sum(-1)
        # An exponential tail from c with mean length β has the second moment c² + 2cβ + 2β².
        low, high, b, a = left[..., 0], right[..., -1], self._lower, self._upper
        lower = self.levels[0] * (low.square() - 2 * low * b + 2 * b.square())
        upper = (1 - self.levels[-1]) * (high.square() + 2 * high * a + 2 * a.square())
        return inside + lower + upper


class QuantileHead(RegressionHead):
    r"""Several quantiles at once, never crossing, trained by the pinball loss.

    The quantile nearest the median is linear in the features and each further one lies a softplus away. The
    loss of an example is :math:`\frac2n\sum_i \max(\tau_i e_i, (\tau_i - 1) e_i)` with :math:`e_i = (y -
    q_i)/s` and :math:`s` the targets' scale: as levels fill (0, 1) it becomes the continuous ranked
    probability score in units of :math:`s`. It is no log-likelihood; :meth:`negative_log_likelihood` is that
    of :class:`QuantileDistribution`.

    Parameters
    ----------
    in_features : int
        Width of the features.
    outputs : int or None
        ``None`` for targets of shape ``(batch,)``, ``k`` for ``(batch, k)``.
    quantiles : sequence of float
        Levels in (0, 1), increasing. Parameters hold them along a last axis.

    Examples
    --------
    >>> head = QuantileHead(8, quantiles=(0.1, 0.5, 0.9))
    >>> head.set_scale(mean=100.0, std=10.0)
    >>> head(torch.zeros(1, 8)).round().tolist()  # starts at a normal distribution's
    [[87.0, 100.0, 113.0]]

    References
    ----------
    Koenker & Bassett 1978, Regression Quantiles; Gneiting & Raftery 2007, §4.2 (CRPS).
    """

    levels: Tensor

    def __init__(
        self,
        in_features: int,
        outputs: int | None = None,
        quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    ) -> None:
        super().__init__(in_features, outputs)
        levels = torch.tensor([float(level) for level in quantiles], dtype=torch.float64)
        inside = bool(((levels > 0) & (levels < 1)).all())
        if len(levels) == 0 or not inside or bool((levels.diff() <= 0).any()):
            mend = "set for example quantiles=(0.05, 0.5, 0.95)"
            raise SettingError("quantiles increasing within (0, 1)", str(tuple(quantiles)), mend)
        self.register_buffer("levels", levels.float())
        self.anchor = int((levels - 0.5).abs().argmin())
        self.linear = nn.Linear(in_features, (outputs or 1) * len(levels))
        initialize(self.linear, "glorot")
        normal = torch.special.ndtri(levels)
        gaps = inverse_softplus(normal.diff())
        start = torch.cat([gaps[: self.anchor], normal[self.anchor : self.anchor + 1], gaps[self.anchor :]])
        with torch.no_grad():
            self.linear.bias.copy_(start.float().repeat(outputs or 1))

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch *event levels"]:
        """Return the quantiles, non-decreasing along the last axis, in units of the targets."""
        raw = self.linear(features).unflatten(-1, (*self.event_shape, -1))
        below, middle, above = raw.split([self.anchor, 1, raw.shape[-1] - self.anchor - 1], -1)
        falls = F.softplus(below).flip(-1).cumsum(-1).flip(-1)
        rises = F.softplus(above).cumsum(-1)
        quantiles = torch.cat([middle - falls, middle, middle + rises], -1)
        return torch.addcmul(self.location.unsqueeze(-1), quantiles, self.scale.unsqueeze(-1))

    def distribution(self, parameters: Float[Tensor, "batch *event levels"]) -> Distribution:
        """Return a ``QuantileDistribution``; with several outputs independent ones."""
        quantiles = QuantileDistribution(self.levels, parameters)
        return Independent(quantiles, 1) if self.event_shape else quantiles

    def point(self, parameters: Float[Tensor, " batch *event levels"]) -> Float[Tensor, " batch *event"]:
        """Return the median, linear between levels; if no two levels enclose it, the nearest quantile."""
        levels = self.levels
        if float(levels[self.anchor]) == 0.5 or not float(levels[0]) < 0.5 < float(levels[-1]):
            return parameters[..., self.anchor]
        upper = int(torch.searchsorted(levels, 0.5))
        share = (0.5 - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
        return torch.lerp(parameters[..., upper - 1], parameters[..., upper], share.to(parameters))

    def _likelihood_loss(self) -> bool:
        return False

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        errors = (targets.unsqueeze(-1) - parameters) / self.scale.unsqueeze(-1)
        pinball = torch.maximum(self.levels * errors, (self.levels - 1) * errors)
        return reduce(2 * pinball.mean(-1), reduction)
