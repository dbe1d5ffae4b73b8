"""What a decoder says of a row: the distribution over it whose parameters the decoder returns (§14.4)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from gradus.core.errors import InputError

__all__ = ["OUTPUTS", "BernoulliOutput", "GaussianOutput", "Output", "OutputName", "ScaledGaussianOutput"]

OutputName = Literal["gaussian", "bernoulli"]

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
# Standard deviations are held above this share of a feature's own: a feature that is always the same has none, and
# its likelihood no bound.
SMALLEST_SCALE = 1e-3


class Output(ABC):
    """Base of the distributions of a row given its code; parameters come as one tensor of shape (batch, ...).

    Attributes
    ----------
    per_feature : int
        Parameters that each feature needs.
    """

    per_feature: ClassVar[int] = 1

    @abstractmethod
    def losses(
        self, parameters: Float[Tensor, "batch parameters"], targets: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " batch"]:
        """Return the negative log-likelihood of each row in nats, up to a constant."""

    @abstractmethod
    def mean(self, parameters: Float[Tensor, "batch parameters"]) -> Float[Tensor, "batch features"]:
        """Return the expected row."""

    @abstractmethod
    def sample(
        self, parameters: Float[Tensor, "batch parameters"], generator: torch.Generator
    ) -> Float[Tensor, "batch features"]:
        """Draw a row from each distribution."""

    def log_likelihood(
        self, parameters: Float[Tensor, "batch parameters"], targets: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " batch"]:
        """Return the log-likelihood of each row in nats, with the constant that training leaves out."""
        return -self.losses(parameters, targets) - self.constant * targets.shape[1]

    constant: ClassVar[float] = 0.0

    def _checked(self, parameters: Tensor, targets: Tensor) -> None:
        if parameters.shape != (len(targets), targets.shape[1] * self.per_feature):
            expected = f"parameters of shape ({len(targets)}, {targets.shape[1] * self.per_feature})"
            raise InputError(expected, str(tuple(parameters.shape)), "give the decoder that many outputs")


class GaussianOutput(Output):
    """A normal distribution of unit variance: half the squared error, ``½ Σ_i (x_i - μ_i)²``.

    Examples
    --------
    >>> output = GaussianOutput()
    >>> output.losses(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist()
    [12.5]

    References
    ----------
    Goodfellow et al. 2016, §14.4; §6.2.2.1.
    """

    constant = _HALF_LOG_TAU

    def losses(
        self, parameters: Float[Tensor, "batch parameters"], targets: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " batch"]:
        """Return half the squared distance of each row."""
        self._checked(parameters, targets)
        return 0.5 * (parameters - targets).square().sum(1)

    def mean(self, parameters: Float[Tensor, "batch parameters"]) -> Float[Tensor, "batch features"]:
        """Return the parameters: they are the mean."""
        return parameters

    def sample(
        self, parameters: Float[Tensor, "batch parameters"], generator: torch.Generator
    ) -> Float[Tensor, "batch features"]:
        """Draw a row from each distribution."""
        return parameters + _normal(parameters, generator)


class BernoulliOutput(Output):
    """Independent binary features with these logits: ``-Σ_i x_i log p_i + (1 - x_i) log(1 - p_i)``.

    Of features between 0 and 1 it is a cross-entropy that leads to the right mean, but no likelihood.

    Examples
    --------
    >>> output = BernoulliOutput()
    >>> [round(loss, 4) for loss in output.losses(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])).tolist()]
    [1.3863]

    References
    ----------
    Goodfellow et al. 2016, §14.4; §6.2.2.2; Vincent et al. 2010, §2.2 (cross-entropy of features in [0, 1]).
    """

    def losses(
        self, parameters: Float[Tensor, "batch parameters"], targets: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " batch"]:
        """Return the cross-entropy of each row in nats."""
        self._checked(parameters, targets)
        return F.binary_cross_entropy_with_logits(parameters, targets, reduction="none").sum(1)

    def mean(self, parameters: Float[Tensor, "batch parameters"]) -> Float[Tensor, "batch features"]:
        """Return the probability of a one."""
        return parameters.sigmoid()

    def sample(
        self, parameters: Float[Tensor, "batch parameters"], generator: torch.Generator
    ) -> Float[Tensor, "batch features"]:
        """Draw zeros and ones."""
        return torch.bernoulli(parameters.sigmoid(), generator=generator)


class ScaledGaussianOutput(Output):
    """A normal distribution of each feature with a standard deviation of its own, ``σ_i = softplus(s_i) + 0.001``.

    ``Σ_i ½ ((x_i - μ_i) / σ_i)² + log σ_i``; the first half of the parameters is μ, the second s.

    Examples
    --------
    >>> output = ScaledGaussianOutput()
    >>> parameters = torch.tensor([[0.0, 0.5397]])  # of deviation one
    >>> round(output.log_likelihood(parameters, torch.zeros(1, 1)).item(), 3)
    -0.919

    References
    ----------
    Goodfellow et al. 2016, §14.4; §6.2.2.4.
    """

    per_feature = 2
    constant = _HALF_LOG_TAU

    def losses(
        self, parameters: Float[Tensor, "batch parameters"], targets: Float[Tensor, "batch features"]
    ) -> Float[Tensor, " batch"]:
        """Return the negative log-likelihood of each row, less the constant."""
        self._checked(parameters, targets)
        mean, scale = self._parts(parameters)
        return (0.5 * ((targets - mean) / scale).square() + scale.log()).sum(1)

    def mean(self, parameters: Float[Tensor, "batch parameters"]) -> Float[Tensor, "batch features"]:
        """Return the means."""
        return self._parts(parameters)[0]

    def sample(
        self, parameters: Float[Tensor, "batch parameters"], generator: torch.Generator
    ) -> Float[Tensor, "batch features"]:
        """Draw a row from each distribution."""
        mean, scale = self._parts(parameters)
        return mean + scale * _normal(mean, generator)

    @staticmethod
    def _parts(parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = parameters.chunk(2, 1)
        return mean, F.softplus(raw) + SMALLEST_SCALE


OUTPUTS: dict[OutputName, Output] = {"gaussian": GaussianOutput(), "bernoulli": BernoulliOutput()}


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
