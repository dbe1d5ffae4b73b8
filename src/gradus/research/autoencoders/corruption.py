"""Noise that a denoising autoencoder is to undo (§14.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import SettingError
from gradus.networks.checks import chosen

__all__ = ["Corruption", "NoiseName", "gaussian_noise", "masking_noise", "salt_and_pepper"]

NoiseName = Literal["gaussian", "masking", "salt_and_pepper"]


def gaussian_noise(
    inputs: Float[Tensor, "batch features"], level: float, generator: torch.Generator
) -> Float[Tensor, "batch features"]:
    """Return ``x + level ε`` with standard normal ε.

    Parameters
    ----------
    inputs : Tensor of shape (batch, features)
        Rows.
    level : float
        Standard deviation of the noise, 0 or more.
    generator : torch.Generator
        Where the noise is drawn from.

    Examples
    --------
    >>> gaussian_noise(torch.ones(2, 3), 0.0, torch.Generator()).sum().item()
    6.0

    References
    ----------
    Goodfellow et al. 2016, §14.5.1; Vincent et al. 2010, §3.3.
    """
    noise = torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype, device=inputs.device)
    return inputs + level * noise


def masking_noise(
    inputs: Float[Tensor, "batch features"], level: float, generator: torch.Generator
) -> Float[Tensor, "batch features"]:
    """Return rows of which each feature is set to zero with probability ``level``.

    Parameters
    ----------
    inputs : Tensor of shape (batch, features)
        Rows.
    level : float
        Probability in [0, 1].
    generator : torch.Generator
        Where the choice is drawn from.

    Examples
    --------
    >>> masking_noise(torch.ones(2, 3), 1.0, torch.Generator()).sum().item()
    0.0

    References
    ----------
    Vincent et al. 2010, Stacked Denoising Autoencoders, §3.3.
    """
    return inputs * (_uniform(inputs, generator) >= level)


def salt_and_pepper(
    inputs: Float[Tensor, "batch features"],
    level: float,
    generator: torch.Generator,
    *,
    low: float | Float[Tensor, " features"] = 0.0,
    high: float | Float[Tensor, " features"] = 1.0,
) -> Float[Tensor, "batch features"]:
    """Return rows of which each feature is set, with probability ``level``, to its lowest or its highest value.

    Parameters
    ----------
    inputs : Tensor of shape (batch, features)
        Rows.
    level : float
        Probability in [0, 1]; lowest and highest are equally likely.
    generator : torch.Generator
        Where the choice is drawn from.
    low, high : float or Tensor of shape (features,)
        The two values.

    Examples
    --------
    >>> sorted(set(salt_and_pepper(torch.full((9, 9), 0.5), 1.0, torch.Generator()).flatten().tolist()))
    [0.0, 1.0]

    References
    ----------
    Vincent et al. 2010, Stacked Denoising Autoencoders, §3.3.
    """
    drawn = _uniform(inputs, generator)
    ends = torch.where(drawn < level / 2, torch.as_tensor(low).to(inputs), torch.as_tensor(high).to(inputs))
    return torch.where(drawn < level, ends, inputs)


@dataclass(frozen=True, eq=False)
class Corruption:
    """One kind of noise with its level: ``(inputs, generator) -> corrupted inputs``.

    Parameters
    ----------
    kind : {"gaussian", "masking", "salt_and_pepper"}
        What it does.
    level : float
        Standard deviation of Gaussian noise, else the probability that a feature is hit.
    low, high : float or Tensor of shape (features,)
        Ends of salt-and-pepper noise.

    Raises
    ------
    SettingError
        If the kind is unknown or the level out of range.

    Examples
    --------
    >>> Corruption("masking", 1.0)(torch.ones(2, 2), torch.Generator()).sum().item()
    0.0

    References
    ----------
    Goodfellow et al. 2016, §14.5: our corruption is the book's C(x̃ | x).
    """

    kind: NoiseName
    level: float
    low: float | Tensor = 0.0
    high: float | Tensor = 1.0

    def __post_init__(self) -> None:
        chosen(self.kind, ("gaussian", "masking", "salt_and_pepper"), "noise")
        if self.level < 0 or (self.level > 1 and self.kind != "gaussian"):
            allowed = "0 or more" if self.kind == "gaussian" else "from 0 to 1"
            raise SettingError(
                f"a noise level {allowed} for {self.kind} noise", str(self.level), "set noise_level=0.25"
            )

    def __call__(
        self, inputs: Float[Tensor, "batch features"], generator: torch.Generator
    ) -> Float[Tensor, "batch features"]:
        """Return corrupted rows."""
        if self.kind == "gaussian":
            return gaussian_noise(inputs, self.level, generator)
        if self.kind == "masking":
            return masking_noise(inputs, self.level, generator)
        return salt_and_pepper(inputs, self.level, generator, low=self.low, high=self.high)


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
