"""Penalties, constraints and noise on weights (chapter 7), in place and over all tensors at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from gradus.foundations.numerical.projections import project_l2_ball

__all__ = ["Average", "constrain_norms_", "noisy_weights", "penalize_", "penalty"]


@torch.no_grad()
def penalize_(weights: Sequence[Tensor], *, l1: float = 0.0, l2: float = 0.0) -> None:
    """Add the gradient of ``l1 * sum|w| + l2 / 2 * sum w^2`` to the gradients of ``weights``.

    Added to the gradient and not to the loss: the loss reported stays that of the data, and a batch cut into
    parts is penalized once.

    References
    ----------
    Goodfellow et al. 2016, §7.1, eq. 7.3 and 7.20.
    """
    present = [w for w in weights if w.grad is not None]
    if not present:
        return
    gradients = [w.grad for w in present if w.grad is not None]
    if l2:
        torch._foreach_add_(gradients, present, alpha=l2)
    if l1:
        torch._foreach_add_(gradients, torch._foreach_sign(present), alpha=l1)


@torch.no_grad()
def penalty(weights: Sequence[Tensor], *, l1: float = 0.0, l2: float = 0.0) -> Tensor | float:
    """Return ``l1 * sum|w| + l2 / 2 * sum w^2``, whose gradient `penalize_` adds.

    Examples
    --------
    >>> float(penalty([torch.tensor([[3.0, -4.0]])], l1=1.0, l2=2.0))
    32.0
    """
    if not weights or not (l1 or l2):
        return 0.0
    absolute = torch.stack(torch._foreach_norm(list(weights), 1)).sum()
    squared = torch.stack(torch._foreach_norm(list(weights), 2)).square().sum()
    return l1 * absolute + l2 / 2 * squared


@torch.no_grad()
def constrain_norms_(weights: Sequence[Tensor], limit: float) -> None:
    """Project each unit's incoming weights onto the ball of radius ``limit``.

    Units are the first axis of a weight, as in ``nn.Linear`` and ``nn.Conv2d``.

    References
    ----------
    Goodfellow et al. 2016, §7.2; Srivastava et al. 2014, §5.1.
    """
    for weight in weights:
        weight.copy_(project_l2_ball(weight.flatten(1), limit).view_as(weight))


@contextmanager
def noisy_weights(weights: Sequence[Tensor], deviation: float, generator: torch.Generator) -> Iterator[None]:
    """Add Gaussian noise to ``weights`` inside the block; the exact values come back after it.

    References
    ----------
    Goodfellow et al. 2016, §7.5.
    """
    with torch.no_grad():
        kept = [w.clone() for w in weights]
        for weight in weights:
            noise = torch.empty_like(weight).normal_(0.0, deviation, generator=generator)
            weight.add_(noise)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(weights), kept)


class Average:
    """Polyak average of parameters: ``a <- d a + (1 - d) w`` after every update.

    The decay starts low, ``min(d, (1 + t) / (10 + t))``, so that the random start is forgotten.

    Parameters
    ----------
    parameters : sequence of Tensor
        What is averaged; never changed by `update`.
    decay : float
        Weight ``d`` of the past, in [0, 1).

    References
    ----------
    Goodfellow et al. 2016, §8.7.3, eq. 8.39.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self.parameters, self.decay, self.updates = list(parameters), decay, 0
        self.values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the parameters of this moment into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self.values, self.parameters, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange averages and parameters; a second call undoes the first."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Compute with the averages inside the block."""
        self.swap()
        try:
            yield
        finally:
            self.swap()
