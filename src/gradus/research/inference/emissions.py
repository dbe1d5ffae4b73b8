"""What hidden states emit: Gaussians, mixtures of Gaussians, symbols; each knows its density and its M-step.

A family holds no parameters: it is the form, and the pure functions on the NamedTuples that are its parameters.
Responsibilities and log-densities have states first, one column a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from gradus.research.inference.gaussian_moments import log_densities, normalize_, weigh
from gradus.research.inference.gaussians import (
    Covariance,
    GaussianMixtureState,
    exact_enough,
    gaussian_mixture_init,
    gaussian_scales,
    maximize_gaussians,
    sample_gaussians,
)
from gradus.research.inference.starts import kmeans

__all__ = [
    "CategoricalFamily",
    "CategoricalParameters",
    "EmissionFamily",
    "GaussianFamily",
    "GaussianParameters",
    "MixtureFamily",
    "MixtureParameters",
]


class EmissionFamily(Protocol):
    """The form of emissions: pure functions on parameters, whose type is the family's."""

    def init(self, rows: Tensor, labels: Tensor, states: int, source: torch.Generator) -> Any:
        """Return parameters from a first guess at the state of each row."""

    def log_densities(self, parameters: Any, rows: Tensor) -> Tensor:
        """Return log-densities of rows under each state, shape (states, rows)."""

    def maximize(self, parameters: Any, rows: Tensor, shares: Tensor, logs: Tensor) -> Any:
        """Return the parameters that responsibilities (states, rows) ask for; ``logs`` are the log-densities."""

    def sample(self, parameters: Any, states: Tensor, source: torch.Generator) -> Tensor:
        """Draw a row of each of the given states, shape (n, features)."""

    def count(self, parameters: Any) -> int:
        """Return the number of free parameters."""


class GaussianParameters(NamedTuple):
    """Means (states, features) and covariances, as in `GaussianMixtureState`."""

    means: Tensor
    covariances: Tensor


class MixtureParameters(NamedTuple):
    """Weights (states, components), means (states, components, features), covariances (states, components, ...).

    If tied, the components of a state share its covariance: (states, features, features).
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor


class CategoricalParameters(NamedTuple):
    """Probability of each symbol in each state, shape (states, symbols)."""

    probabilities: Tensor


@dataclass(frozen=True, kw_only=True)
class GaussianFamily:
    """One Gaussian a state."""

    covariance: Covariance = "diag"
    floor: float = 1e-6

    def init(self, rows: Tensor, labels: Tensor, states: int, source: torch.Generator) -> GaussianParameters:
        """Return the moments of the rows of each state."""
        shares = nn.functional.one_hot(labels, states).to(rows.dtype)
        found = gaussian_mixture_init(rows, shares, self.covariance, self.floor)
        return GaussianParameters(found.means, found.covariances)

    def log_densities(self, parameters: GaussianParameters, rows: Tensor) -> Tensor:
        """Return log-densities of shape (states, rows)."""
        state, scales = _whole(parameters), gaussian_scales(_whole(parameters), self.covariance)
        return log_densities(state, scales, rows, expand=exact_enough(state, scales, rows))

    def maximize(
        self, parameters: GaussianParameters, rows: Tensor, shares: Tensor, logs: Tensor
    ) -> GaussianParameters:
        """Return weighted means and covariances."""
        state, scales = _whole(parameters), gaussian_scales(_whole(parameters), self.covariance)
        moments = weigh(state, scales, rows, shares, expand=exact_enough(state, scales, rows))
        found = maximize_gaussians(moments, state, self.covariance, self.floor)
        return GaussianParameters(found.means, found.covariances)

    def sample(self, parameters: GaussianParameters, states: Tensor, source: torch.Generator) -> Tensor:
        """Draw a row of each state."""
        return sample_gaussians(_whole(parameters), states, self.covariance, source)

    def count(self, parameters: GaussianParameters) -> int:
        """Return the number of free parameters."""
        k, d = parameters.means.shape
        pairs = d * (d + 1) // 2
        return k * d + {"full": k * pairs, "tied": pairs, "diag": k * d, "spherical": k}[self.covariance]


def _whole(parameters: GaussianParameters) -> GaussianMixtureState:
    """Return the Gaussians as a mixture whose log-joint is the log-density."""
    return GaussianMixtureState(parameters.means.new_ones(len(parameters.means)), *parameters)


@dataclass(frozen=True, kw_only=True)
class MixtureFamily:
    """A mixture of Gaussians a state; of a ``"tied"`` covariance, which a state's components share, states differ."""

    components: int = 2
    covariance: Covariance = "diag"
    floor: float = 1e-6
    smoothing: float = 0.0

    def init(self, rows: Tensor, labels: Tensor, states: int, source: torch.Generator) -> MixtureParameters:
        """Return the clusters that k-means finds among the rows of each state."""
        inner = torch.zeros(len(rows), dtype=torch.long)
        for i in range(states):
            held = (labels == i).nonzero()[:, 0]
            if len(held) <= self.components:  # too few to tell apart: any split
                inner[held] = torch.arange(len(held)) % self.components
            else:
                inner[held] = kmeans(rows[held], self.components, source)[1]
        shares = nn.functional.one_hot(labels * self.components + inner, states * self.components).to(rows.dtype)
        found = gaussian_mixture_init(rows, shares, self._form, self.floor)
        counts = shares.double().sum(0).reshape(states, -1)
        empty = (counts == 0).reshape(-1)  # a component without rows begins at its state's first row or the mean
        means = found.means.clone()
        means[empty] = rows.double().mean(0)
        weights = (counts + 0.5) / (counts + 0.5).sum(1, keepdim=True)
        return self._shaped(weights, means, found.covariances, counts)

    @property
    def _form(self) -> Covariance:
        """How covariances are stored while each component has its own: a shared one is their weighted mean."""
        return "full" if self.covariance == "tied" else self.covariance

    def _shaped(self, weights: Tensor, means: Tensor, covariances: Tensor, counts: Tensor) -> MixtureParameters:
        k, m = weights.shape
        shaped = covariances.reshape(k, m, *covariances.shape[1:])
        if self.covariance == "tied":
            total = counts.sum(1, keepdim=True)
            share = torch.where(total > 0, counts / total.clamp(min=1e-300), 1 / m)
            shaped = (share[:, :, None, None] * shaped).sum(1)
        return MixtureParameters(weights, means.reshape(k, m, -1), shaped)

    def _flat(self, parameters: MixtureParameters) -> GaussianMixtureState:
        weights, means, covariances = parameters
        if self.covariance == "tied":
            covariances = covariances[:, None].expand(-1, weights.shape[1], -1, -1)
        return GaussianMixtureState(weights.reshape(-1), means.flatten(0, 1), covariances.flatten(0, 1))

    def _joint(self, parameters: MixtureParameters, rows: Tensor) -> Tensor:
        """Return log-joints of rows and components, shape (states * components, rows)."""
        state = self._flat(parameters)
        scales = gaussian_scales(state, self._form)
        return log_densities(state, scales, rows, expand=exact_enough(state, scales, rows))

    def log_densities(self, parameters: MixtureParameters, rows: Tensor) -> Tensor:
        """Return log-densities of shape (states, rows)."""
        joint = self._joint(parameters, rows)
        return joint.reshape(len(parameters.weights), self.components, -1).logsumexp(1)

    def maximize(self, parameters: MixtureParameters, rows: Tensor, shares: Tensor, logs: Tensor) -> MixtureParameters:
        """Return weights and moments under the joint posterior of state and component."""
        k, m = parameters.weights.shape
        joint = self._joint(parameters, rows).reshape(k, m, -1).transpose(0, 1).contiguous()
        normalize_(joint)  # over the components of each state
        both = (joint * shares).transpose(0, 1).reshape(k * m, -1)
        state = self._flat(parameters)
        scales = gaussian_scales(state, self._form)
        moments = weigh(state, scales, rows, both, expand=exact_enough(state, scales, rows))
        found = maximize_gaussians(moments, state, self._form, self.floor)
        raw = moments.counts.reshape(k, m)
        counts = raw + self.smoothing
        total = counts.sum(1, keepdim=True)
        weights = torch.where(total > 0, counts / total.clamp(min=1e-300), parameters.weights)
        return self._shaped(weights, found.means, found.covariances, raw)

    def sample(self, parameters: MixtureParameters, states: Tensor, source: torch.Generator) -> Tensor:
        """Draw a row of each state."""
        inner = torch.multinomial(parameters.weights[states], 1, generator=source)[:, 0]
        component = states * self.components + inner
        return sample_gaussians(self._flat(parameters), component, self._form, source)

    def count(self, parameters: MixtureParameters) -> int:
        """Return the number of free parameters."""
        k, m, d = parameters.means.shape
        pairs = d * (d + 1) // 2
        spread = {"full": m * pairs, "tied": pairs, "diag": m * d, "spherical": m}[self.covariance]
        return k * (m - 1 + m * d + spread)


@dataclass(frozen=True, kw_only=True)
class CategoricalFamily:
    """A distribution over symbols a state; rows are symbols, shape (rows, 1), whole numbers from 0."""

    symbols: int
    smoothing: float = 0.0

    def init(self, rows: Tensor, labels: Tensor, states: int, source: torch.Generator) -> CategoricalParameters:
        """Return the symbols' shares in each state, with a random part: states that begin alike stay so."""
        counts = torch.zeros(states, self.symbols, dtype=torch.float64)
        counts.index_put_((labels, rows[:, 0].long()), torch.ones(len(rows), dtype=torch.float64), accumulate=True)
        overall = counts.sum(0) + 0.1
        uneven = torch.rand(states, self.symbols, generator=source, dtype=torch.float64) + 0.5
        found = (counts + overall / overall.sum() * self.symbols) * uneven
        return CategoricalParameters(found / found.sum(1, keepdim=True))

    def log_densities(self, parameters: CategoricalParameters, rows: Tensor) -> Tensor:
        """Return log-probabilities of shape (states, rows)."""
        dtype = rows.dtype if rows.is_floating_point() else torch.float64
        return parameters.probabilities.log().to(dtype)[:, rows[:, 0].long()]

    def maximize(
        self, parameters: CategoricalParameters, rows: Tensor, shares: Tensor, logs: Tensor
    ) -> CategoricalParameters:
        """Return weighted shares of the symbols."""
        counts = torch.zeros(self.symbols, len(shares), dtype=torch.float64, device=shares.device)
        counts.index_add_(0, rows[:, 0].long(), shares.T.double())
        smoothed = counts.T + self.smoothing
        total = smoothed.sum(1, keepdim=True)
        return CategoricalParameters(
            torch.where(total > 0, smoothed / total.clamp(min=1e-300), parameters.probabilities)
        )

    def sample(self, parameters: CategoricalParameters, states: Tensor, source: torch.Generator) -> Tensor:
        """Draw a symbol of each state."""
        return torch.multinomial(parameters.probabilities[states], 1, generator=source).double()

    def count(self, parameters: CategoricalParameters) -> int:
        """Return the number of free parameters."""
        k, v = parameters.probabilities.shape
        return k * (v - 1)
