"""Batches whose position is a pair of integers.

A batch is a dictionary of tensors that share their first axis: ``inputs`` (a tensor, or several under other names),
``targets``, and ``weights`` where examples count differently. Nothing else is remembered between steps: the
permutation of an epoch is a function of (seed, epoch), so ``epoch(3, start=17)`` gives the same batches in a resumed
process as in the one that was killed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive, generator

__all__ = ["Batch", "Batches", "OnDevice", "TensorBatches"]

Batch = dict[str, Tensor]

# One gather serves this many bytes of examples, cut into batches by views: a gather a step costs a small network
# more than its matrix products, and a gather of the whole set would double its memory.
BLOCK_BYTES = 1 << 22


@runtime_checkable
class Batches(Protocol):
    """What the loop needs of its data: a length, and an epoch that can start anywhere."""

    def __len__(self) -> int:
        """Return the number of steps in one epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on, always the same ones."""
        ...


class TensorBatches:
    """Batches of tensors in memory: one permutation an epoch, gathered in blocks, sliced by views.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Tensors with a common first axis, all on the device that computes.
    batch_size : int
        Examples a step; the last batch of an epoch may be smaller.
    shuffle : bool
        Draw a new order each epoch.
    seed : int
        Source of the orders; epoch ``e`` uses ``derive(seed, "order", e)``.
    drop_last : bool
        Leave out an incomplete last batch.

    Examples
    --------
    >>> data = TensorBatches({"inputs": torch.arange(5.0)}, batch_size=2, shuffle=False)
    >>> [batch["inputs"].tolist() for batch in data.epoch(0, start=1)]
    [[2.0, 3.0], [4.0]]
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        sizes = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(sizes.values())) != 1:
            raise InputError("tensors with one common length", str(sizes), "pass one row for each example in each")
        if batch_size < 1:
            raise SettingError("batch_size to be 1 or more", str(batch_size), "set for example batch_size=32")
        self.tensors = dict(tensors)
        self.n_examples = next(iter(sizes.values()))
        if self.n_examples == 0:
            raise InputError("at least one example", "none", "check how the data were filtered or split")
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        bytes_each = sum(t[:1].numel() * t.element_size() for t in tensors.values())
        self._block = max(1, BLOCK_BYTES // max(1, bytes_each * batch_size)) * batch_size

    def __len__(self) -> int:
        """Return the number of steps in one epoch."""
        full, rest = divmod(self.n_examples, self.batch_size)
        return full if (self.drop_last and full) or not rest else full + 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on."""
        first, stop = start * self.batch_size, min(len(self) * self.batch_size, self.n_examples)
        order = None
        if self.shuffle:
            device = next(iter(self.tensors.values())).device
            order = torch.randperm(self.n_examples, generator=generator(derive(self.seed, "order", epoch)))
            order = order.to(device)
        names = list(self.tensors)
        for low in range(first, stop, self._block):
            high = min(low + self._block, stop)
            columns = []
            for tensor in self.tensors.values():
                block = tensor[low:high] if order is None else tensor.index_select(0, order[low:high])
                columns.append(block.split(self.batch_size))
            for parts in zip(*columns, strict=True):
                yield dict(zip(names, parts, strict=True))


class OnDevice:
    """Batches of another source, moved to the device that computes.

    Parameters
    ----------
    batches : Batches
        The source.
    device : torch.device
        Where the batches go.

    Examples
    --------
    >>> source = TensorBatches({"inputs": torch.zeros(3)}, batch_size=2)
    >>> [batch["inputs"].device.type for batch in OnDevice(source, torch.device("cpu")).epoch(0)]
    ['cpu', 'cpu']
    """

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self.batches, self.device = batches, device
        self.seed = getattr(batches, "seed", None)  # by which a checkpoint knows the order

    def __len__(self) -> int:
        """Return the number of steps in one epoch."""
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the source's batches of ``epoch`` from step ``start`` on."""
        for batch in self.batches.epoch(epoch, start):
            yield {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
