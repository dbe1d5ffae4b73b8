"""Drawing classes from a fixed distribution in constant time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.core.errors import InputError, SettingError

__all__ = ["AliasTable"]


class AliasTable(NamedTuple):
    """A distribution over classes as Walker's table: each draw takes one slot and one coin, however many classes.

    Make it with :meth:`of`.

    Attributes
    ----------
    log_probabilities : Tensor of shape (classes,)
        float32, in nats; minus infinity for classes that are never drawn.
    thresholds : Tensor of shape (classes,)
        float64: the share of a slot that is its own class's.
    aliases : Tensor of shape (classes,)
        Who has the rest of the slot.

    Examples
    --------
    >>> table = AliasTable.of([1.0, 0.0, 3.0])
    >>> drawn = table.sample((10000,), torch.Generator().manual_seed(0))
    >>> round(float((drawn == 2).double().mean()), 2), int((drawn == 1).sum())
    (0.75, 0)

    References
    ----------
    Walker 1977; Vose 1991. Noise proportional to counts to the power 0.75: Mikolov et al. 2013.
    """

    log_probabilities: Float[Tensor, " classes"]
    thresholds: Float[Tensor, " classes"]
    aliases: Int[Tensor, " classes"]

    @classmethod
    def of(cls, weights: object, power: float = 1.0) -> AliasTable:
        """Make the table of probabilities proportional to ``weights ** power``.

        Parameters
        ----------
        weights : array-like of shape (classes,)
            Such as counts of words; 0 or more, not all zero. A class of weight zero is never drawn.
        power : float
            1 for the weights themselves, 0 or more; below 1 the rare come more often.

        Raises
        ------
        InputError
            If a weight is negative or not finite, all are zero, or there is more than one axis.
        SettingError
            If ``power`` is negative.
        """
        values = np.asarray(weights, dtype=np.float64)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or (values < 0).any():
            received = f"shape {values.shape}" if values.ndim != 1 or not len(values) else "others"
            raise InputError("weights of shape (classes,), finite and 0 or more", received, "pass one for each class")
        if not values.any():
            raise InputError("a weight above 0", "zeros only", "count more data")
        if not power >= 0:
            raise SettingError("power of 0 or more", str(power), "set for example power=0.75")
        shares = np.where(values > 0, values**power, 0.0)
        shares /= shares.sum()
        with np.errstate(divide="ignore"):
            logs = np.log(shares)
        thresholds, aliases = _vose(shares * len(shares))
        return cls(torch.from_numpy(logs).float(), torch.from_numpy(thresholds), torch.from_numpy(aliases))

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Int[Tensor, " *drawn"]:
        """Draw classes independently, with replacement.

        Parameters
        ----------
        shape : tuple of int
            Of the answer.
        generator : torch.Generator
            On the table's device.
        """
        device = self.aliases.device
        slots = torch.randint(len(self.aliases), shape, generator=generator, device=device)
        coins = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)
        return torch.where(coins < self.thresholds[slots], slots, self.aliases[slots])

    def to(self, device: torch.device | str) -> AliasTable:
        """Return the table on ``device``."""
        return self if self.aliases.device == torch.device(device) else AliasTable(*(t.to(device) for t in self))


def _vose(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill each slot of size one from a class that has less and one that has more."""
    thresholds, aliases = np.ones(len(scaled)), np.arange(len(scaled))
    left = scaled.tolist()
    small = [i for i, share in enumerate(left) if share < 1.0]
    large = [i for i, share in enumerate(left) if share >= 1.0]
    while small and large:
        poor, rich = small.pop(), large.pop()
        thresholds[poor], aliases[poor] = left[poor], rich
        left[rich] -= 1.0 - left[poor]
        (small if left[rich] < 1.0 else large).append(rich)
    # What is left has a share of one but for rounding; a class that is never drawn is not left last.
    return thresholds, aliases
