"""What learned inference costs: the bound of an encoder, of the best guide of each row, and the likelihood (§19.5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError
from gradus.foundations.log_space import log_mean_exp
from gradus.research.inference.guides import MeanFieldGaussianGuide
from gradus.research.inference.variational import svi_init, svi_step

__all__ = ["AmortizationGap", "amortization_gap"]

DRAWS_AT_ONCE = 100


class AmortizationGap(NamedTuple):
    """Nats of each row; the three differ by what they are short of.

    Attributes
    ----------
    amortized : Tensor of shape (rows,)
        Bound with the encoder's guide.
    optimized : Tensor of shape (rows,)
        Bound with the row's own best guide of the same family.
    log_likelihood : Tensor of shape (rows,)
        By importance sampling from that guide: itself a lower bound, closer with more draws.
    """

    amortized: Tensor
    optimized: Tensor
    log_likelihood: Tensor

    @property
    def amortization(self) -> Tensor:
        """What sharing one encoder costs each row, nats."""
        return self.optimized - self.amortized

    @property
    def approximation(self) -> Tensor:
        """What the family of the guide costs each row, nats."""
        return self.log_likelihood - self.optimized


def amortization_gap(
    log_joint: Callable[[Tensor, Tensor], Tensor],
    encoder: Callable[[Tensor], tuple[Tensor, Tensor]],
    X: Float[Tensor, "rows features"],
    generator: torch.Generator,
    *,
    steps: int = 500,
    learning_rate: float = 0.02,
    step_draws: int = 8,
    draws: int = 2000,
) -> AmortizationGap:
    r"""Measure how much of the gap between bound and likelihood is the encoder's, and how much the family's.

    :math:`\log p(x) - \mathcal{L}_\text{encoder} = (\log p(x) - \mathcal{L}^*) + (\mathcal{L}^* -
    \mathcal{L}_\text{encoder})`, with :math:`\mathcal{L}^*` the best diagonal Gaussian's.

    Parameters
    ----------
    log_joint : callable
        ``(z, x) -> log p(x, z)`` with z of shape (draws, rows, latent) and x of shape (rows, features): nats of shape
        (draws, rows), differentiable in z.
    encoder : callable
        ``x -> (mean, log_deviation)``, each of shape (rows, latent).
    X : Tensor of shape (rows, features)
        Rows.
    generator : torch.Generator
        On the CPU.
    steps : int
        Of Adam, for every row's own guide, from the encoder's; the rate falls to zero.
    learning_rate : float
        At the first of them.
    step_draws : int
        Draws a row and step.
    draws : int
        Draws a row for the bounds and the likelihood.

    Returns
    -------
    AmortizationGap
        Bounds and likelihood of each row.

    Examples
    --------
    >>> def log_joint(z, x):  # x = z + noise
    ...     unit = torch.distributions.Normal(0.0, 1.0)
    ...     return (unit.log_prob(z) + unit.log_prob(x - z)).sum(-1)
    >>> lazy = lambda x: (torch.zeros_like(x), torch.zeros_like(x))  # answers with the prior
    >>> found = amortization_gap(log_joint, lazy, torch.tensor([[2.0]]), torch.Generator().manual_seed(0))
    >>> bool(found.amortization > 1), bool(found.approximation.abs() < 0.05)
    (True, True)

    References
    ----------
    Goodfellow et al. 2016, §19.5; Cremer, Li & Duvenaud 2018, Inference suboptimality in variational autoencoders.
    """
    with torch.no_grad():
        mean, logs = encoder(X)
    if mean.shape != logs.shape or mean.ndim != 2 or len(mean) != len(X):
        received = f"{tuple(mean.shape)} and {tuple(logs.shape)}"
        mend = "return one of each for every row and latent dimension"
        raise InputError("means and log-deviations of shape (rows, latent)", received, mend)
    n, latent = mean.shape
    guide = MeanFieldGaussianGuide(n * latent)

    def whole(z: Tensor) -> Tensor:
        return log_joint(z.reshape(-1, n, latent), X).sum(1)

    begun = torch.cat([mean.flatten(), logs.flatten()])
    state = svi_init(begun)
    tail = max(1, steps // 4)
    average = torch.zeros_like(begun)
    for step in range(steps):
        rate = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        state, _ = svi_step(state, whole, guide, generator, learning_rate=rate, draws=step_draws)
        if step >= steps - tail:
            average += state.parameters / tail
    best = average if steps else begun
    amortized, _ = _bounds(log_joint, X, begun, latent, draws, generator)
    optimized, likelihood = _bounds(log_joint, X, best, latent, draws, generator)
    return AmortizationGap(amortized, optimized, likelihood)


@torch.no_grad()
def _bounds(
    log_joint: Callable[[Tensor, Tensor], Tensor],
    X: Tensor,
    parameters: Tensor,
    latent: int,
    draws: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the bound and the importance-weighted likelihood of each row."""
    n = len(X)
    mean, logs = (part.reshape(n, latent) for part in parameters.chunk(2))
    entropy = (logs + 0.5 * math.log(2 * math.pi) + 0.5).sum(1)
    values, weights = [], []
    for start in range(0, draws, DRAWS_AT_ONCE):
        size = min(DRAWS_AT_ONCE, draws - start)
        noise = torch.randn(size, n, latent, generator=generator, dtype=mean.dtype)
        joint = log_joint(mean + logs.exp() * noise, X)
        log_q = -(0.5 * noise.square() + logs + 0.5 * math.log(2 * math.pi)).sum(2)
        values.append(joint)
        weights.append(joint - log_q)
    return torch.cat(values).mean(0) + entropy, log_mean_exp(torch.cat(weights))
