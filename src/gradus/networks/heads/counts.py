"""Heads over counts: Poisson and negative binomial."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, NegativeBinomial, Poisson
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.networks.feedforward import initialize
from gradus.networks.heads.base import NumberHead, Reduction, inverse_softplus, reduce

__all__ = ["CountHead", "NegativeBinomialHead", "PoissonHead"]


class CountHead(NumberHead):
    """Base of the heads over counts; targets are 0, 1, 2, ... in the parameters' floating type.

    Parameters
    ----------
    in_features : int
        Width of the features.
    outputs : int or None
        ``None`` for targets of shape ``(batch,)``, ``k`` for ``(batch, k)``.
    """

    task = "count"

    def __init__(self, in_features: int, outputs: int | None, each: int) -> None:
        super().__init__(in_features, outputs)
        self.linear = nn.Linear(in_features, (outputs or 1) * each)
        initialize(self.linear, "glorot")

    def _start(self, mean: Tensor, std: Tensor) -> None:
        if bool((mean < 0).any()):
            raise InputError("counts of a mean of 0 or more", str(mean.tolist()), "pass targets of 0, 1, 2, ...")
        self._spread(mean.clamp_min(0.01), std)

    @abstractmethod
    def _spread(self, mean: Tensor, std: Tensor) -> None:
        """Store what the moments, with a mean above zero, say."""


class PoissonHead(CountHead):
    r"""A Poisson distribution with log-rate linear in the features.

    :math:`-\log p(y) = e^z - y z + \log y!`; its variance is its mean, so ``set_scale`` needs only the mean.

    Parameters
    ----------
    in_features : int
        Width of the features.
    outputs : int or None
        ``None`` for targets of shape ``(batch,)``, ``k`` for ``(batch, k)``.

    Examples
    --------
    >>> head = PoissonHead(8)
    >>> head.set_scale(mean=4.0, std=2.0)
    >>> head.point(head(torch.zeros(1, 8))).round(decimals=3).tolist()
    [4.0]

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.4 (output units from the likelihood); McCullagh & Nelder 1989, §6.2.
    """

    def __init__(self, in_features: int, outputs: int | None = None) -> None:
        super().__init__(in_features, outputs, each=1)

    def _spread(self, mean: Tensor, std: Tensor) -> None:
        self.location.copy_(mean.log())

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, " batch *event"]:
        """Return the logarithm of the rate."""
        raw = self.linear(features)
        return self.location + (raw if self.event_shape else raw.squeeze(-1))

    def distribution(self, parameters: Float[Tensor, " batch *event"]) -> Distribution:
        """Return a ``Poisson``; with several outputs independent ones, one event."""
        poisson = Poisson(parameters.exp())
        return Independent(poisson, 1) if self.event_shape else poisson

    def point(self, parameters: Float[Tensor, " batch *event"]) -> Float[Tensor, " batch *event"]:
        """Return the mean, which is the rate."""
        return parameters.exp()

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        return reduce(parameters.exp() - targets * parameters + torch.lgamma(targets + 1), reduction)


# Least variance beyond a Poisson's, so that 1 / dispersion stays finite.
_MINIMUM_DISPERSION = 1e-4


class NegativeBinomialHead(CountHead):
    r"""A negative binomial distribution: counts that vary more than a Poisson's, with variance ``μ + α μ²``.

    Parameters have a last axis of two: :math:`\log\mu` and the dispersion :math:`\alpha > 0`; torch's
    ``total_count`` is :math:`1/\alpha`.

    Parameters
    ----------
    in_features : int
        Width of the features.
    outputs : int or None
        ``None`` for targets of shape ``(batch,)``, ``k`` for ``(batch, k)``.

    Examples
    --------
    >>> head = NegativeBinomialHead(8)
    >>> head.set_scale(mean=4.0, std=6.0)
    >>> head.distribution(head(torch.zeros(1, 8))).variance.round(decimals=2).tolist()
    [36.0]

    References
    ----------
    Hilbe 2011, Negative Binomial Regression, §8.2 (NB2).
    """

    dispersion: Tensor

    def __init__(self, in_features: int, outputs: int | None = None) -> None:
        super().__init__(in_features, outputs, each=2)
        self.register_buffer("dispersion", torch.ones(self.event_shape))
        with torch.no_grad():
            self.linear.bias[outputs or 1 :] = inverse_softplus(1.0)

    def _spread(self, mean: Tensor, std: Tensor) -> None:
        self.location.copy_(mean.log())
        # Counts that vary no more than a Poisson's start a hundredth above it.
        dispersion = torch.maximum((std.square() - mean) / mean.square(), 0.01 / mean)
        self.dispersion.copy_(dispersion.clamp_max(100.0))

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch *event 2"]:
        """Return the logarithm of the mean and the dispersion along a last axis."""
        raw, spread = self.linear(features).unflatten(-1, (2, *self.event_shape)).unbind(1)
        dispersion = F.softplus(spread) * self.dispersion + _MINIMUM_DISPERSION
        return torch.stack([self.location + raw, dispersion], -1)

    def distribution(self, parameters: Float[Tensor, "batch *event 2"]) -> Distribution:
        """Return a ``NegativeBinomial``; with several outputs independent ones, one event."""
        log_mean, dispersion = parameters.unbind(-1)
        counts = NegativeBinomial(1 / dispersion, logits=log_mean + dispersion.log())
        return Independent(counts, 1) if self.event_shape else counts

    def point(self, parameters: Float[Tensor, " batch *event 2"]) -> Float[Tensor, " batch *event"]:
        """Return the mean."""
        return parameters[..., 0].exp()

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        log_mean, dispersion = parameters.unbind(-1)
        count, mean = 1 / dispersion, log_mean.exp()
        # log Γ(r + y) - log Γ(r) + y log μ/(r + μ) - r log(1 + μ/r) - log y!
        logs = _log_rising(count, targets) + targets * (log_mean - torch.log(count + mean))
        logs = logs - count * torch.log1p(mean * dispersion) - torch.lgamma(targets + 1)
        return reduce(-logs, reduction)


def _log_rising(r: Tensor, y: Tensor) -> Tensor:
    """Return ``log Γ(r + y) - log Γ(r)``; the plain difference of two large numbers loses all digits."""
    large = r > 20.0
    s = torch.where(large, r, 20.0)  # keeps the branch not taken, and its gradient, finite
    stirling = (s - 0.5) * torch.log1p(y / s) + y * torch.log(s + y) - y
    stirling = stirling + (1 / (s + y) - 1 / s) / 12 - ((s + y) ** -3 - s**-3) / 360
    return torch.where(large, stirling, torch.lgamma(r + y) - torch.lgamma(r))
