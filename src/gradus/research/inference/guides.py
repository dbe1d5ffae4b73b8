"""Guides: families of approximate posteriors, with what gradients of the evidence lower bound need of them (§19.4).

A guide is a form without parameters; they are one flat tensor, so that any optimizer moves them. Draws come as rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from gradus.core.errors import InputError

__all__ = ["BernoulliGuide", "FullGaussianGuide", "Guide", "MeanFieldGaussianGuide"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Guide(Protocol):
    """A family of distributions over the rows of draws."""

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Turn noise into draws, shape (draws, dimensions)."""

    def noise(self, parameters: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """Draw the noise that `draw` takes, of the type of the parameters."""

    def log_prob(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Return the log-density of draws in nats, shape (draws,)."""

    def score(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Return the gradient of `log_prob` by the parameters, shape (draws, parameters)."""

    def entropy(self, parameters: Tensor) -> Tensor:
        """Return the entropy in nats."""


class Reparameterized(Guide, Protocol):
    """A guide whose draws are a smooth function of its parameters."""

    def pull_back(self, parameters: Tensor, noise: Tensor, slopes: Tensor) -> Tensor:
        """Turn gradients by draws into gradients by parameters, shape (draws, parameters)."""


@dataclass(frozen=True)
class MeanFieldGaussianGuide:
    r"""Independent Gaussians: parameters are means, then log-deviations, :math:`z = \mu + e^{s} \epsilon`.

    Parameters
    ----------
    dimensions : int
        Of a draw.

    Examples
    --------
    >>> guide = MeanFieldGaussianGuide(2)
    >>> guide.init(torch.tensor([1.0, 2.0]), scale=1.0).tolist()
    [1.0, 2.0, 0.0, 0.0]
    """

    dimensions: int

    def init(self, mean: Float[Tensor, " dimensions"], scale: float = 0.1) -> Tensor:
        """Return parameters with a given mean and one deviation for all."""
        return torch.cat([mean, torch.full_like(mean, math.log(scale))])

    def moments(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and covariance."""
        mean, logs = parameters.split(self.dimensions)
        return mean, (2 * logs).exp().diag()

    def noise(self, parameters: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """Draw standard normal numbers."""
        return torch.randn(draws, self.dimensions, generator=generator, dtype=parameters.dtype)

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Return means plus scaled noise."""
        mean, logs = parameters.split(self.dimensions)
        return mean + logs.exp() * noise

    def log_prob(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Return the log-density of draws."""
        mean, logs = parameters.split(self.dimensions)
        return -(0.5 * ((z - mean) * (-logs).exp()).square() + logs + HALF_LOG_2PI).sum(1)

    def score(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Return the gradient of the log-density by the parameters."""
        mean, logs = parameters.split(self.dimensions)
        standard = (z - mean) * (-logs).exp()
        return torch.cat([standard * (-logs).exp(), standard.square() - 1], 1)

    def pull_back(self, parameters: Tensor, noise: Tensor, slopes: Tensor) -> Tensor:
        """Turn gradients by draws into gradients by parameters."""
        logs = parameters[self.dimensions :]
        return torch.cat([slopes, slopes * noise * logs.exp()], 1)

    def entropy(self, parameters: Tensor) -> Tensor:
        """Return the entropy in nats."""
        return parameters[self.dimensions :].sum() + self.dimensions * (HALF_LOG_2PI + 0.5)


@dataclass(frozen=True)
class FullGaussianGuide:
    r"""A Gaussian with any covariance, :math:`z = \mu + L \epsilon`, *L* lower triangular with a positive diagonal.

    Parameters are means, then *L* row by row with logarithms on its diagonal.

    Parameters
    ----------
    dimensions : int
        Of a draw.

    Examples
    --------
    >>> guide = FullGaussianGuide(2)
    >>> guide.init(torch.zeros(2), scale=1.0).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    dimensions: int

    @property
    def _places(self) -> tuple[Tensor, Tensor]:
        i, j = torch.tril_indices(self.dimensions, self.dimensions)
        return i, j

    def init(self, mean: Float[Tensor, " dimensions"], scale: float = 0.1) -> Tensor:
        """Return parameters with a given mean, one deviation for all and no correlation."""
        i, j = self._places
        return torch.cat([mean, torch.where(i == j, math.log(scale), 0.0).to(mean)])

    def factor(self, parameters: Tensor) -> Tensor:
        """Return *L*."""
        i, j = self._places
        flat = parameters[self.dimensions :]
        lower = parameters.new_zeros(self.dimensions, self.dimensions)
        return lower.index_put((i, j), torch.where(i == j, flat.exp(), flat))

    def moments(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and covariance."""
        lower = self.factor(parameters)
        return parameters[: self.dimensions], lower @ lower.T

    def noise(self, parameters: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """Draw standard normal numbers."""
        return torch.randn(draws, self.dimensions, generator=generator, dtype=parameters.dtype)

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Return means plus noise times the factor."""
        return parameters[: self.dimensions] + noise @ self.factor(parameters).T

    def _standard(self, parameters: Tensor, lower: Tensor, z: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(lower, (z - parameters[: self.dimensions]).T, upper=False).T

    def log_prob(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Return the log-density of draws."""
        lower = self.factor(parameters)
        square = self._standard(parameters, lower, z).square().sum(1)
        return -0.5 * square - lower.diag().log().sum() - self.dimensions * HALF_LOG_2PI

    def score(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Return the gradient of the log-density by the parameters."""
        lower = self.factor(parameters)
        noise = self._standard(parameters, lower, z)
        slopes = torch.linalg.solve_triangular(lower.T, noise.T, upper=True).T
        found = self.pull_back(parameters, noise, slopes)
        i, j = self._places
        found[:, self.dimensions :] -= (i == j).to(found)
        return found

    def pull_back(self, parameters: Tensor, noise: Tensor, slopes: Tensor) -> Tensor:
        """Turn gradients by draws into gradients by parameters."""
        i, j = self._places
        flat = parameters[self.dimensions :]
        inner = torch.where(i == j, flat.exp(), 1.0).to(slopes)
        return torch.cat([slopes, slopes[:, i] * noise[:, j] * inner], 1)

    def entropy(self, parameters: Tensor) -> Tensor:
        """Return the entropy in nats."""
        i, j = self._places
        return parameters[self.dimensions :][i == j].sum() + self.dimensions * (HALF_LOG_2PI + 0.5)


@dataclass(frozen=True)
class BernoulliGuide:
    r"""Independent binary units: parameters are log-odds.

    Parameters
    ----------
    dimensions : int
        Of a draw.

    Examples
    --------
    >>> guide = BernoulliGuide(3)
    >>> round(guide.entropy(torch.zeros(3)).item() / math.log(2), 4)
    3.0
    """

    dimensions: int

    def init(self, mean: Float[Tensor, " dimensions"]) -> Tensor:
        """Return log-odds of given probabilities."""
        if not bool(((mean > 0) & (mean < 1)).all()):
            raise InputError("probabilities between 0 and 1", "others", "pass for example 0.5 for each")
        return torch.logit(mean)

    def noise(self, parameters: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """Draw uniform numbers."""
        return torch.rand(draws, self.dimensions, generator=generator, dtype=parameters.dtype)

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Return zeros and ones."""
        return (noise < torch.sigmoid(parameters)).to(parameters.dtype)

    def log_prob(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Return the log-probability of draws."""
        return (z * parameters + logsigmoid(-parameters)).sum(1)

    def score(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Return the gradient of the log-probability by the log-odds."""
        return z - torch.sigmoid(parameters)

    def entropy(self, parameters: Tensor) -> Tensor:
        """Return the entropy in nats."""
        p = torch.sigmoid(parameters)
        return -(p * logsigmoid(parameters) + (1 - p) * logsigmoid(-parameters)).sum()
