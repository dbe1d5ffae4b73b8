"""Losses of autoencoders: pure functions from a network and a batch of rows to sums over the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.data.batches import Batch
from gradus.networks.checks import check_sizes, chosen
from gradus.research.autoencoders.corruption import Corruption
from gradus.research.autoencoders.networks import DenseEncoder
from gradus.research.autoencoders.outputs import Output
from gradus.research.autoencoders.penalties import (
    contractive_penalty,
    curvature_estimate,
    jacobian_norm_estimate,
    rate_divergence,
    unit_derivative,
)
from gradus.training.losses import Loss

__all__ = ["ContractiveLoss", "ReconstructionLoss", "SparseLoss", "closed_form", "summed"]


def summed(each: Float[Tensor, " batch"], batch: Batch) -> Loss:
    """Return the sum of losses over rows, each times its weight where the batch has weights.

    Examples
    --------
    >>> loss = summed(torch.tensor([1.0, 2.0]), {"weights": torch.tensor([3.0, 1.0])})
    >>> loss.total.item(), float(loss.count)
    (5.0, 4.0)
    """
    weights = batch.get("weights")
    if weights is None:
        return Loss(each.sum(), float(len(each)), {})
    return Loss(torch.dot(weights.to(each.dtype), each), weights.sum(), {})


@dataclass(frozen=True, eq=False)
class ReconstructionLoss:
    """How badly rows are reconstructed, ``-log p(x | decode(encode(x̃)))``, where x̃ is the row or a corrupted copy.

    Parameters
    ----------
    output : Output
        The distribution whose parameters the network returns.
    corruption : Corruption, optional
        Noise on what the encoder reads; none is the plain autoencoder, which learns to copy.

    Examples
    --------
    >>> from gradus.research.autoencoders.networks import AutoencoderNetwork
    >>> from gradus.research.autoencoders.outputs import GaussianOutput
    >>> network = AutoencoderNetwork(nn.Identity(), nn.Identity(), nn.Identity())
    >>> batch, noise = {"inputs": torch.ones(2, 3)}, Corruption("masking", 1.0)
    >>> ReconstructionLoss(GaussianOutput())(network, batch, torch.Generator()).total.item()
    0.0
    >>> ReconstructionLoss(GaussianOutput(), noise)(network, batch, torch.Generator()).total.item()  # 2 rows of ½ · 3
    3.0

    References
    ----------
    Goodfellow et al. 2016, eq. 14.1; §14.5, figure 14.3 (the denoising criterion).
    """

    output: Output
    corruption: Corruption | None = None

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        auto: Any = network
        clean = auto.prepare(batch["inputs"])
        read = clean if self.corruption is None else self.corruption(clean, generator)
        return summed(self.output.losses(auto.decode(auto.encoder(read)), clean), batch)


@dataclass(frozen=True, eq=False)
class SparseLoss:
    """Reconstruction plus a penalty that keeps most units of a code near zero.

    ``"l1"``: ``λ Σ_j |h_j|`` of each row. ``"kl"``: ``λ`` times the divergence of each unit's mean activity over the
    batch from a target rate (:func:`~gradus.research.autoencoders.penalties.rate_divergence`), which does not
    decompose over rows.

    Parameters
    ----------
    output : Output
        The distribution whose parameters the network returns.
    penalty : {"l1", "kl"}
        Which.
    weight : float
        λ, 0 or more.
    rate : float
        Target of ``"kl"``, inside (0, 1).

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> from gradus.research.autoencoders.networks import AutoencoderNetwork
    >>> from gradus.research.autoencoders.outputs import GaussianOutput
    >>> network = AutoencoderNetwork(nn.Identity(), nn.Identity(), nn.Identity())
    >>> loss = SparseLoss(GaussianOutput(), "l1", weight=0.5)
    >>> loss(network, {"inputs": torch.ones(2, 3)}, torch.Generator()).total.item()
    3.0

    References
    ----------
    Goodfellow et al. 2016, §14.2.1, eqs. 14.2-14.7.
    """

    output: Output
    penalty: Literal["l1", "kl"]
    weight: float
    rate: float = 0.05

    def __post_init__(self) -> None:
        chosen(self.penalty, ("l1", "kl"), "penalty")
        if self.weight < 0 or not 0 < self.rate < 1:
            received = f"weight={self.weight}, rate={self.rate}"
            raise SettingError("a weight of 0 or more and a rate inside (0, 1)", received, "change it")

    @property
    def decomposes(self) -> bool:
        """Whether parts of a batch add up to the whole."""
        return self.penalty == "l1"

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        auto: Any = network
        clean = auto.prepare(batch["inputs"])
        codes = auto.encoder(clean)
        each = self.output.losses(auto.decode(codes), clean)
        if self.penalty == "l1":
            return summed(each + self.weight * codes.abs().sum(1), batch)
        plain = summed(each, batch)
        weights = batch.get("weights")
        rates = codes.mean(0) if weights is None else weights.to(codes.dtype) @ codes / weights.sum()
        penalty = rate_divergence(rates, self.rate)
        return Loss(plain.total + self.weight * penalty * plain.count, plain.count, {})


@dataclass(frozen=True, eq=False)
class ContractiveLoss:
    """Reconstruction plus ``λ ‖∂h/∂x‖²``, and for a smoother code ``+ γ E ‖J(x) - J(x + ε)‖²``.

    The penalty is exact where the encoder is one dense layer of known units, else estimated without bias.

    Parameters
    ----------
    output : Output
        The distribution whose parameters the network returns.
    weight : float
        λ, 0 or more.
    probes : int
        Random vectors of each estimate.
    curvature, curvature_noise : float
        γ, 0 or more, and the standard deviation of ε.

    Raises
    ------
    SettingError
        If a setting is out of range.

    References
    ----------
    Goodfellow et al. 2016, §14.7, eq. 14.18; Rifai et al. 2011 (both papers).
    """

    output: Output
    weight: float
    probes: int = 1
    curvature: float = 0.0
    curvature_noise: float = 0.1

    def __post_init__(self) -> None:
        check_sizes(probes=self.probes)
        if self.weight < 0 or self.curvature < 0 or not self.curvature_noise > 0:
            received = f"weight={self.weight}, curvature={self.curvature}, curvature_noise={self.curvature_noise}"
            raise SettingError("weights of 0 or more and noise above 0", received, "change it")

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        auto: Any = network
        clean = auto.prepare(batch["inputs"])
        encoder = auto.encoder
        if closed_form(encoder):
            linear, unit = encoder.layers
            pre = linear(clean)
            codes, penalty = unit(pre), contractive_penalty(linear.weight, pre, unit)
        else:
            codes, penalty = encoder(clean), jacobian_norm_estimate(encoder, clean, generator, self.probes)
        each = self.output.losses(auto.decode(codes), clean) + self.weight * penalty
        if self.curvature:
            drawn = curvature_estimate(encoder, clean, generator, noise=self.curvature_noise, probes=self.probes)
            each = each + self.curvature * drawn
        return summed(each, batch)


def closed_form(encoder: nn.Module) -> bool:
    """Whether the Jacobian's norm of an encoder is known in closed form: one dense layer of known units.

    Examples
    --------
    >>> closed_form(DenseEncoder(4, (), 2, code_activation="tanh")), closed_form(DenseEncoder(4, (3,), 2))
    (True, False)
    """
    if not isinstance(encoder, DenseEncoder) or len(encoder.layers) != 2:
        return False
    return unit_derivative(encoder.layers[1], torch.zeros(1)) is not None
