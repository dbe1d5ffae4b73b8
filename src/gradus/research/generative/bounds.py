"""Bounds on the log-likelihood of latent-variable models, and the losses that raise them.

With ``w = p(x, z) / q(z | x)`` and ``z`` drawn from ``q``, ``E log w`` is the evidence lower bound, and
``E log (1/k) Σ w_i`` the importance-weighted one, which rises with ``k`` towards ``log p(x)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.data.batches import Batch
from gradus.foundations.log_space import log_mean_exp
from gradus.research.generative.binarization import drawn_bits
from gradus.research.generative.networks import LatentVariableNetwork
from gradus.training.losses import Loss

__all__ = [
    "ElboLoss",
    "ImportanceWeightedLoss",
    "elbo_parts",
    "gaussian_kl",
    "log_weights",
    "summed",
]

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
Gradient = Literal["reparameterized", "doubly_reparameterized"]
# Draws what a loss needs of noise: `(shape, like, generator) -> Tensor`. Tests pass the nodes of a quadrature.
Noise = Callable[[tuple[int, ...], Tensor, torch.Generator], Tensor]


def normal_noise(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers of the type and on the device of ``like``."""
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)


def gaussian_kl(mean: Float[Tensor, " *batch latent"], scale: Float[Tensor, " *batch latent"]) -> Tensor:
    """Return ``KL(N(m, s²) ‖ N(0, 1)) = (m² + s² - 1) / 2 - log s`` of each dimension, in nats.

    Examples
    --------
    >>> gaussian_kl(torch.tensor([1.0]), torch.tensor([1.0])).item()
    0.5

    References
    ----------
    Kingma & Welling 2014, Auto-Encoding Variational Bayes, appendix B.
    """
    return 0.5 * (mean.square() + scale.square() - 1) - scale.log()


def log_weights(
    network: LatentVariableNetwork,
    rows: Float[Tensor, "batch features"],
    noise: Float[Tensor, "draws batch latent"],
    moments: tuple[Tensor, Tensor] | None = None,
) -> Float[Tensor, "draws batch"]:
    """Return ``log p(x, z) - log q(z | x)`` at ``z = m(x) + s(x) ε``.

    Parameters
    ----------
    network : LatentVariableNetwork
        The model.
    rows : Tensor of shape (batch, features)
        Rows in their own units.
    noise : Tensor of shape (draws, batch, latent)
        Standard normal ``ε``.
    moments : tuple of Tensor, optional
        Mean and standard deviation of ``q``, where they are known already.

    References
    ----------
    Burda, Grosse & Salakhutdinov 2016, Importance Weighted Autoencoders, eq. 8.
    """
    mean, scale = network(rows) if moments is None else moments
    latent = torch.addcmul(mean, scale, noise)
    # log N(z; 0, 1) - log N(z; m, s): the constants cancel
    prior = 0.5 * (noise.square() - latent.square()).sum(-1) + scale.log().sum(-1)
    return network.likelihood.log_prob(network.decoder(latent), rows) + prior


def elbo_parts(
    network: LatentVariableNetwork, rows: Float[Tensor, "batch features"], noise: Float[Tensor, "draws batch latent"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch latent"]]:
    """Return ``E log p(x | z)``, averaged over the draws, and the exact divergence of each latent dimension, in nats.

    Parameters
    ----------
    network, rows, noise
        As for `log_weights`.

    References
    ----------
    Goodfellow et al. 2016, §20.10.3, eq. 20.77.
    """
    mean, scale = network(rows)
    latent = torch.addcmul(mean, scale, noise)
    fit = network.likelihood.log_prob(network.decoder(latent), rows)
    return fit.squeeze(0) if len(fit) == 1 else fit.mean(0), gaussian_kl(mean, scale)


def summed(losses: Float[Tensor, " batch"], batch: Batch) -> Loss:
    """Return the losses of rows as a sum with its count, each times its weight where the batch has weights."""
    weights = batch.get("weights")
    if weights is None:
        return Loss(losses.sum(), float(len(losses)), {})
    return Loss(torch.dot(weights.to(losses.dtype), losses), weights.sum(), {})


@dataclass(frozen=True, eq=False)
class ElboLoss:
    """``-E log p(x | z) + β Σ_j max(λ, KL_j)``: the negative evidence lower bound where ``β = 1`` and ``λ = 0``.

    The divergence is in closed form; the expectation takes ``samples`` draws a row. Free bits are counted for each
    row and dimension by itself (not for the mean over a batch), so that the loss decomposes over rows.

    Parameters
    ----------
    samples : int
        Draws a row.
    beta : float
        Weight of the divergence.
    free_bits : float
        Nats of divergence that each latent dimension may spend without cost.
    full : float or None
        Value of a full pixel where rows are drawn as bits anew each time; None takes them as they are.
    noise : callable
        Draws the noise.

    References
    ----------
    Goodfellow et al. 2016, §20.10.3; Higgins et al. 2017, β-VAE, eq. 4; Kingma et al. 2016, Improved Variational
    Inference with Inverse Autoregressive Flow, appendix C.8 (free bits).
    """

    samples: int = 1
    beta: float = 1.0
    free_bits: float = 0.0
    full: float | None = None
    noise: Noise = normal_noise

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        model: Any = network
        rows = batch["inputs"]
        if self.full is not None:
            rows = drawn_bits(rows, self.full, generator)
        noise = self.noise((self.samples, len(rows), model.decoder.latent), rows, generator)
        fit, divergence = elbo_parts(model, rows, noise)
        if self.free_bits:
            divergence = divergence.clamp_min(self.free_bits)
        cost = divergence.sum(-1) if self.beta == 1 else self.beta * divergence.sum(-1)
        return summed(cost - fit, batch)


@dataclass(frozen=True, eq=False)
class ImportanceWeightedLoss:
    """``-log (1/k) Σ w_i``, the negative importance-weighted bound, with either of two gradients.

    ``"reparameterized"`` differentiates the bound as it is computed; the signal it gives the encoder drowns in noise
    as ``k`` grows. ``"doubly_reparameterized"`` has the same expectation: with ``v_i = w_i / Σ w``, the decoder gets
    ``Σ v_i ∇ log w_i`` and the encoder ``Σ v_i² ∂(log w_i)/∂z_i ∂z_i/∂φ``, in which no score of ``q`` is left.

    Parameters
    ----------
    samples : int
        The ``k`` of the bound.
    gradient : {"doubly_reparameterized", "reparameterized"}
        See above.
    full : float or None
        As for `ElboLoss`.
    noise : callable
        Draws the noise.

    References
    ----------
    Burda et al. 2016, Importance Weighted Autoencoders, eq. 8-14; Tucker et al. 2019, Doubly Reparameterized Gradient
    Estimators for Monte Carlo Objectives, eq. 8.
    """

    samples: int = 5
    gradient: Gradient = "doubly_reparameterized"
    full: float | None = None
    noise: Noise = normal_noise

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        model: Any = network
        rows = batch["inputs"]
        if self.full is not None:
            rows = drawn_bits(rows, self.full, generator)
        noise = self.noise((self.samples, len(rows), model.decoder.latent), rows, generator)
        if self.gradient == "reparameterized" or not torch.is_grad_enabled():
            return summed(-log_mean_exp(log_weights(model, rows, noise)), batch)
        return summed(-_doubly_reparameterized(model, rows, noise), batch)


def _doubly_reparameterized(model: Any, rows: Tensor, noise: Tensor) -> Tensor:
    """Return the bound of each row; its gradient is the doubly reparameterized one."""
    mean, scale = model(rows)
    latent = torch.addcmul(mean, scale, noise)
    shares: list[Tensor] = []
    if latent.requires_grad:  # on its way to the encoder, the gradient of each draw meets its share a second time
        latent.register_hook(lambda gradient: gradient * shares[0].unsqueeze(-1))
    deviation = scale.detach()
    errors = (latent - mean.detach()) / deviation
    density = 0.5 * (errors.square() - latent.square()).sum(-1) + deviation.log().sum(-1)
    logs = model.likelihood.log_prob(model.decoder(latent), rows) + density
    shares.append(logs.detach().softmax(0))
    bound = log_mean_exp(logs.detach())
    surrogate = (shares[0] * logs).sum(0)
    return bound + (surrogate - surrogate.detach())
