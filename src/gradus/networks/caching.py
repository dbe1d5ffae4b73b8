"""Keys and values of what was read already, kept so that the next token costs one position and not all of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gradus.core.errors import InputError

__all__ = ["KeyValueCache", "Slots", "reserve"]


class KeyValueCache(NamedTuple):
    """Preallocated keys and values of every layer; rows may have read different numbers of tokens.

    A step writes into the tensors in place and returns a cache that shares them, with the new lengths: go on
    from the returned one only, or from a copy made by :func:`gradus.networks.decoding.select`.

    Attributes
    ----------
    keys, values : tuple of Tensor of shape (batch, kv_heads, capacity, head_width)
        One a layer. Slots from a row's length on hold nothing of meaning.
    lengths : Tensor of shape (batch,), int64
        How many tokens each row has read.
    longest : int
        The largest of the lengths, on the host, so that no step waits for the device.
    ragged : bool
        Whether the lengths may differ.

    Examples
    --------
    >>> cache = KeyValueCache.empty(torch.zeros(0), layers=2, batch=3, kv_heads=4, capacity=64, head_width=32)
    >>> cache.keys[0].shape, cache.capacity, cache.longest
    (torch.Size([3, 4, 64, 32]), 64, 0)
    """

    keys: tuple[Float[Tensor, "batch kv_heads capacity head_width"], ...]
    values: tuple[Float[Tensor, "batch kv_heads capacity head_width"], ...]
    lengths: Int[Tensor, " batch"]
    longest: int
    ragged: bool

    @classmethod
    def empty(
        cls, like: Tensor, *, layers: int, batch: int, kv_heads: int, capacity: int, head_width: int
    ) -> KeyValueCache:
        """Return a cache of zeros with the dtype and device of ``like``.

        Zeros rather than raw memory: a masked slot has weight zero, and zero times a stray NaN is NaN.
        """
        shape = (batch, kv_heads, capacity, head_width)
        keys = tuple(like.new_zeros(shape) for _ in range(layers))
        values = tuple(like.new_zeros(shape) for _ in range(layers))
        return cls(keys, values, like.new_zeros(batch, dtype=torch.int64), 0, False)

    @property
    def capacity(self) -> int:
        """How many tokens a row can hold."""
        return self.keys[0].shape[2]


class Slots(NamedTuple):
    """Where new tokens go in a cache and what they may look at: worked out once a pass, used by every layer.

    Attributes
    ----------
    positions : slice or Tensor of shape (batch, new), int64
        Positions of the new tokens: the same in each row, or one set a row.
    rows, times, places : Tensor of shape (tokens,), int64, or None
        For rows of different lengths: row and time of each token to store, and its slot.
    visible : int
        How many slots the new tokens look at.
    mask : Tensor of shape (batch or 1, new, visible), bool, or None
        Which of them each new token may look at; ``None`` for all.
    fresh : bool
        Whether the cache was empty: the new tokens then look at each other only, causally.
    """

    positions: slice | Int[Tensor, "batch new"]
    rows: Int[Tensor, " tokens"] | None
    times: Int[Tensor, " tokens"] | None
    places: Int[Tensor, " tokens"] | None
    visible: int
    mask: Bool[Tensor, "#batch new visible"] | None
    fresh: bool

    def write(
        self,
        stored: Float[Tensor, "batch kv_heads capacity head_width"],
        new: Float[Tensor, "batch kv_heads new head_width"],
    ) -> None:
        """Store the new keys or values, in place."""
        if isinstance(self.positions, slice):
            stored[:, :, self.positions] = new
        else:
            stored[self.rows, :, self.places] = new[self.rows, :, self.times].to(stored.dtype)


def reserve(
    cache: KeyValueCache, new: int, lengths: Int[Tensor, " batch"] | None = None
) -> tuple[Slots, KeyValueCache]:
    """Make room for ``new`` tokens a row.

    Parameters
    ----------
    cache : KeyValueCache
        What was read so far.
    new : int
        Tokens a row, padding included.
    lengths : Tensor of shape (batch,), int64, optional
        How many of them, from the left, are no padding in each row; all by default.

    Returns
    -------
    slots : Slots
        For the layers of this pass.
    cache : KeyValueCache
        The same tensors, with the lengths after the pass.

    Raises
    ------
    InputError
        If a row would hold more tokens than the cache has slots for. Nothing is dropped to make room:
        positions would shift, and every stored key with them.

    Examples
    --------
    >>> cache = KeyValueCache.empty(torch.zeros(0), layers=1, batch=2, kv_heads=1, capacity=8, head_width=4)
    >>> slots, cache = reserve(cache, 3)
    >>> slots.positions, cache.lengths.tolist()
    (slice(0, 3, None), [3, 3])
    >>> slots, cache = reserve(cache, 2, torch.tensor([2, 1]))
    >>> cache.lengths.tolist(), cache.longest
    ([5, 4], 5)
    """
    after = cache.lengths + (new if lengths is None else lengths)
    longest, ragged = cache.longest + new, cache.ragged
    if lengths is not None:
        low, high = after.aminmax()
        longest, ragged = int(high), bool(low != high)
    needed = longest if cache.ragged else cache.longest + new
    if needed > cache.capacity:
        mend = "begin again with the last tokens of the text, or make the network with a larger context"
        raise InputError(f"at most {cache.capacity} tokens in all", str(needed), mend)
    taken = cache._replace(lengths=after, longest=longest, ragged=ragged)
    if not cache.ragged:
        start = cache.longest
        stop = start + new
        mask = None
        if start and new > 1:
            mask = torch.ones(1, new, stop, dtype=torch.bool, device=after.device).tril(start)
        return Slots(slice(start, stop), None, None, None, stop, mask, start == 0), taken
    counted = torch.arange(new, device=after.device)
    positions = cache.lengths.unsqueeze(1) + counted
    kept = torch.ones_like(positions, dtype=torch.bool) if lengths is None else counted < lengths.unsqueeze(1)
    rows, times = kept.nonzero(as_tuple=True) if new > 1 or lengths is not None else _one_each(cache.lengths)
    places = positions[rows, times]
    # Padding may lie beyond the last slot; it is neither stored nor read, but its position is looked up.
    positions = positions.clamp_max(cache.capacity - 1)
    mask = torch.arange(longest, device=after.device) <= positions.unsqueeze(2)
    return Slots(positions, rows, times, places, longest, mask, False), taken


def _one_each(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and time of one new token a row, without asking the device how many there are."""
    return torch.arange(len(lengths), device=lengths.device), torch.zeros_like(lengths)
