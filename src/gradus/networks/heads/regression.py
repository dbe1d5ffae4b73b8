"""Heads over real numbers: Gaussian with fixed or learned variance, and mixtures of Gaussians."""

from __future__ import annotations

from math import log, pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.feedforward import initialize
from gradus.networks.heads.base import NumberHead, Reduction, inverse_softplus, reduce

__all__ = ["GaussianHead", "MixtureDensityHead", "RegressionHead"]

_HALF_LOG_2PI = 0.5 * log(2 * pi)


def _checked_floor(minimum_scale: float) -> float:
    if not 0.0 < minimum_scale < 1.0:
        raise SettingError("minimum_scale in (0, 1)", str(minimum_scale), "set minimum_scale=1e-3")
    return minimum_scale


class RegressionHead(NumberHead):
    """Base of the heads over real targets: optimization sees standardized targets, users their own units.

    Parameters
    ----------
    in_features : int
        Width of the features.
    outputs : int or None
        ``None`` for one number an example, targets of shape ``(batch,)``; ``k`` for ``(batch, k)``, also for
        ``k = 1``.
    """

    task = "regression"
    scale: Tensor

    def __init__(self, in_features: int, outputs: int | None) -> None:
        super().__init__(in_features, outputs)
        self.register_buffer("scale", torch.ones(self.event_shape))

    def _start(self, mean: Tensor, std: Tensor) -> None:
        self.location.copy_(mean)
        self.scale.copy_(torch.where(std == 0, 1.0, std))


class GaussianHead(RegressionHead):
    r"""A Gaussian whose mean, and if asked its standard deviation, depends on the features.

    :math:`-\log p(y) = \tfrac12 (y-\mu)^2/\sigma^2 + \log\sigma + \tfrac12\log 2\pi`, summed over outputs.
    With a fixed variance training minimizes this at :math:`\sigma` equal to the targets' scale: half the
    squared error of standardized targets and a constant. :meth:`fit_variance` then makes the predictive
    distribution honest; it leaves the training loss, and so the step size of a warm start, as they were.

    Parameters
    ----------
    in_features : int
        Width of the features.
    outputs : int or None
        ``None`` for targets of shape ``(batch,)``, ``k`` for ``(batch, k)``.
    variance : {"fixed", "learned"}
        Parameters are the mean, of the targets' shape; with ``"learned"`` a last axis holds mean and
        standard deviation.
    minimum_scale : float
        Least learned standard deviation as a share of the targets' scale: without one the likelihood is
        unbounded.

    Examples
    --------
    >>> head = GaussianHead(8, variance="learned")
    >>> head.set_scale(mean=100.0, std=15.0)
    >>> head.distribution(head(torch.zeros(2, 8))).stddev.round().tolist()
    [15.0, 15.0]

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.1 and §6.2.2.4, heteroscedastic models.
    """

    variance: Tensor

    def __init__(
        self,
        in_features: int,
        outputs: int | None = None,
        variance: str = "fixed",
        *,
        minimum_scale: float = 1e-3,
    ) -> None:
        super().__init__(in_features, outputs)
        if variance not in {"fixed", "learned"}:
            raise SettingError("variance to be fixed or learned", repr(variance), "set variance='fixed'")
        self.learned, self.minimum_scale = variance == "learned", _checked_floor(minimum_scale)
        width = outputs or 1
        self.linear = nn.Linear(in_features, 2 * width if self.learned else width)
        initialize(self.linear, "glorot")
        if self.learned:
            with torch.no_grad():
                self.linear.bias[width:] = inverse_softplus(1 - minimum_scale)
        else:
            self.register_buffer("variance", torch.ones(self.event_shape))

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, " batch *parameters"]:
        """Return the mean, or with a learned variance the mean and standard deviation along a last axis."""
        raw = self.linear(features)
        if not self.learned:
            raw = raw if self.event_shape else raw.squeeze(-1)
            return torch.addcmul(self.location, raw, self.scale)
        mean, spread = raw.unflatten(-1, (2, *self.event_shape)).unbind(1)
        std = (F.softplus(spread) + self.minimum_scale) * self.scale
        return torch.stack([torch.addcmul(self.location, mean, self.scale), std], -1)

    def set_variance(self, variance: float | np.ndarray | Tensor) -> None:
        """Set the fixed variance of the predictive distribution, in squared units of the targets."""
        if self.learned:
            raise SettingError("variance='fixed' where it is set by hand", "'learned'", "leave the learned variance be")
        value = torch.as_tensor(variance, dtype=torch.float64)
        if not bool((value.isfinite() & (value > 0)).all()):
            raise InputError(
                "a positive finite variance", str(value.tolist()), "pass for example the mean squared error"
            )
        # in double precision: the square of a scale of 1e20 or 1e-23 is none in single
        self.variance.copy_(value.cpu() / self.scale.cpu().double().square())

    def fit_variance(
        self,
        parameters: Float[Tensor, " batch *event"],
        targets: Float[Tensor, " batch *event"],
        weights: Float[Tensor, " batch"] | None = None,
    ) -> None:
        """Set the fixed variance to the mean squared residual, its maximum likelihood estimate.

        Residuals of held-out examples give an honest variance; those of the training set a small one.
        """
        squared = (targets - parameters).detach().cpu().double().square()
        if weights is None:
            variance = squared.mean(0)
        else:
            weights = weights.detach().cpu().double()
            variance = torch.tensordot(weights, squared, dims=1) / weights.sum()
        # A perfect fit still gets a distribution with a density.
        floor = (self.minimum_scale * self.scale).cpu().double().square()
        self.set_variance(torch.maximum(variance, floor))

    def _moments(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        if self.learned:
            mean, std = parameters.unbind(-1)
            return mean, std
        return parameters, (self.variance.sqrt() * self.scale).expand_as(parameters)

    def distribution(self, parameters: Float[Tensor, " batch *parameters"]) -> Distribution:
        """Return a ``Normal``; with several outputs independent ones, one event."""
        normal = Normal(*self._moments(parameters))
        return Independent(normal, 1) if self.event_shape else normal

    def point(self, parameters: Float[Tensor, " batch *parameters"]) -> Float[Tensor, " batch *event"]:
        """Return the mean."""
        return parameters[..., 0] if self.learned else parameters

    def _likelihood_loss(self) -> bool:
        return self.learned

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        if self.learned:
            mean, std = parameters.unbind(-1)
            return reduce(0.5 * ((targets - mean) / std).square() + std.log() + _HALF_LOG_2PI, reduction)
        squares = 0.5 * ((targets - parameters) / self.scale).square()
        return reduce(squares + (self.scale.log() + _HALF_LOG_2PI), reduction)


class MixtureDensityHead(RegressionHead):
    r"""A mixture of Gaussians with diagonal covariance whose every parameter depends on the features.

    :math:`p(y) = \sum_k \pi_k \prod_d \mathcal N(y_d; \mu_{kd}, \sigma_{kd}^2)`. Parameters have shape
    ``(batch, components, 1 + 2 d)``: the logit of :math:`\pi_k`, then means, then standard deviations.

    Parameters
    ----------
    in_features : int
        Width of the features.
    outputs : int or None
        ``None`` for targets of shape ``(batch,)``, ``k`` for ``(batch, k)``.
    components : int
        Gaussians in the mixture, 1 or more.
    minimum_scale : float
        Least standard deviation as a share of the targets' scale: a component could otherwise collapse onto
        a point.

    Examples
    --------
    >>> head = MixtureDensityHead(8, components=3)
    >>> head.distribution(head(torch.zeros(2, 8))).sample((5,)).shape
    torch.Size([5, 2])

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.4, eq. 6.35; Bishop 1994, Mixture Density Networks.
    """

    def __init__(
        self,
        in_features: int,
        outputs: int | None = None,
        components: int = 5,
        *,
        minimum_scale: float = 1e-3,
    ) -> None:
        super().__init__(in_features, outputs)
        if components < 1:
            raise SettingError("1 component or more", str(components), "set for example components=5")
        self.components, self.minimum_scale = components, _checked_floor(minimum_scale)
        width = outputs or 1
        self.linear = nn.Linear(in_features, components * (1 + 2 * width))
        initialize(self.linear, "glorot")
        # Equal components would get equal gradients: their means start at the quantiles of a standard normal.
        levels = (torch.arange(components, dtype=torch.float64) + 0.5) / components
        with torch.no_grad():
            bias = self.linear.bias.view(components, 1 + 2 * width)
            bias[:, 1 : 1 + width] = torch.special.ndtri(levels).unsqueeze(-1).float()
            bias[:, 1 + width :] = inverse_softplus(1 - minimum_scale)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch components each"]:
        """Return each component's logit, means and standard deviations, in units of the targets."""
        raw = self.linear(features).unflatten(-1, (self.components, -1))
        logits, means, spreads = self._split(raw)
        means = torch.addcmul(self.location, means, self.scale)
        return torch.cat([logits.unsqueeze(-1), means, (F.softplus(spreads) + self.minimum_scale) * self.scale], -1)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        width = (parameters.shape[-1] - 1) // 2
        logits, means, stds = parameters.split([1, width, width], -1)
        return logits.squeeze(-1), means, stds

    def distribution(self, parameters: Float[Tensor, "batch components each"]) -> Distribution:
        """Return a ``MixtureSameFamily`` of normal distributions."""
        logits, means, stds = self._split(parameters)
        if self.event_shape:
            return MixtureSameFamily(Categorical(logits=logits), Independent(Normal(means, stds), 1))
        return MixtureSameFamily(Categorical(logits=logits), Normal(means.squeeze(-1), stds.squeeze(-1)))

    def point(self, parameters: Float[Tensor, "batch components each"]) -> Float[Tensor, " batch *event"]:
        """Return the mean of the mixture, the prediction of least squared error."""
        logits, means, _ = self._split(parameters)
        mean = (logits.softmax(-1).unsqueeze(-1) * means).sum(-2)
        return mean if self.event_shape else mean.squeeze(-1)

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        logits, means, stds = self._split(parameters)
        targets = targets.view(targets.shape[0], 1, -1)
        logs = -0.5 * ((targets - means) / stds).square() - stds.log() - _HALF_LOG_2PI
        return reduce(-torch.logsumexp(logits.log_softmax(-1) + logs.sum(-1), -1), reduction)
