"""Curriculum learning (§8.7.6): easy examples first, hard ones as learning goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch, TensorBatches
from gradus.networks.heads import Head

__all__ = ["CurriculumBatches", "example_losses"]

Pace = Literal["linear", "root"]


class CurriculumBatches:
    """Batches from a growing pool of examples: the easiest ones first, all of them from epoch ``epochs`` on.

    In epoch ``e`` the pool is the easiest share ``min(1, a + (1 - a) e / E)`` of all examples. An epoch has as many
    steps as one over all examples; a pool that is smaller is gone through several times, in new orders. Nothing is
    remembered between steps: the batches of an epoch are a function of seed and epoch, so training resumes exactly.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Tensors with a common first axis, on the device that computes.
    difficulty : array-like of shape (n,)
        How hard each example is, in any unit; equal ones keep their order. See :func:`example_losses`.
    batch_size : int
        Examples a step.
    epochs : int
        Epoch ``E`` from which on all examples are in the pool.
    start : float
        Share ``a`` of examples in the pool at first, above 0, at most 1.
    pace : {"linear", "root"}
        How the share grows: linearly, or as ``sqrt(a² + (1 - a²) e / E)``, which brings new examples at a rate that
        falls as the pool grows.
    mix : float
        Share in [0, 1) of each epoch's examples that are drawn from all, easy or hard, from the start.
    seed : int
        Source of the orders. Once the pool is whole, batches are those of `TensorBatches` of the same seed.

    Raises
    ------
    InputError
        If there are not as many finite difficulties as examples.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> data = {"inputs": torch.arange(8.0)}
    >>> batches = CurriculumBatches(data, difficulty=range(8), batch_size=4, epochs=4, start=0.25)
    >>> [sorted(batch["inputs"].tolist()) for batch in batches.epoch(0)]
    [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    >>> sorted(value for batch in batches.epoch(4) for value in batch["inputs"].tolist()) == list(range(8))
    True

    References
    ----------
    Goodfellow et al. 2016, §8.7.6; Bengio et al. 2009, Curriculum Learning; Platanios et al. 2019, Competence-based
    Curriculum Learning, eq. 7-8 (the paces); Zaremba & Sutskever 2014, Learning to Execute, §4 (the mix).
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        difficulty: object,
        *,
        batch_size: int,
        epochs: int,
        start: float = 0.2,
        pace: Pace = "linear",
        mix: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._whole = TensorBatches(tensors, batch_size=batch_size, seed=seed)
        values = torch.as_tensor(np.asarray(difficulty, dtype=np.float64))
        n = self._whole.n_examples
        if values.shape != (n,) or not bool(values.isfinite().all()):
            received = f"shape {tuple(values.shape)}" if values.shape != (n,) else "NaN or infinity"
            raise InputError(f"a finite difficulty for each of {n} examples", received, "pass one number an example")
        if epochs < 0 or not 0 < start <= 1 or not 0 <= mix < 1 or pace not in ("linear", "root"):
            received = f"epochs={epochs}, start={start}, mix={mix}, pace={pace!r}"
            expected = "epochs of 0 or more, start in (0, 1], mix in [0, 1) and pace 'linear' or 'root'"
            raise SettingError(expected, received, "leave all but epochs out")
        self.order = values.argsort(stable=True)
        self.epochs, self.start, self.pace, self.mix = epochs, start, pace, mix
        self.seed, self.batch_size = seed, batch_size

    def __len__(self) -> int:
        """Return the number of steps in one epoch."""
        return len(self._whole)

    def share(self, epoch: int) -> float:
        """Return the share of the examples that are in the pool."""
        if epoch >= self.epochs:
            return 1.0
        grown = epoch / self.epochs
        if self.pace == "linear":
            return self.start + (1 - self.start) * grown
        return (self.start**2 + (1 - self.start**2) * grown) ** 0.5

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on."""
        size = max(1, round(self.share(epoch) * len(self.order)))
        if size >= len(self.order):
            yield from self._whole.epoch(epoch, start)
            return
        rows = self._rows(epoch, size)
        for step in range(start, len(self)):
            index = rows[step * self.batch_size : (step + 1) * self.batch_size]
            yield {name: tensor[index.to(tensor.device)] for name, tensor in self._whole.tensors.items()}

    def _rows(self, epoch: int, size: int) -> Tensor:
        """Return the rows of an epoch, in order."""
        source = generator(derive(self.seed, "curriculum", epoch))
        n = len(self.order)
        any_row = torch.rand(n, generator=source) < self.mix
        passes = [torch.randperm(size, generator=source) for _ in range(-(-n // size))]
        easy = self.order[torch.cat(passes)[:n]]
        return torch.where(any_row, torch.randperm(n, generator=source), easy)


@torch.no_grad()
def example_losses(
    network: nn.Module, head: Head, batch: Batch, *, inputs: tuple[str, ...] = ("inputs",), rows: int = 4096
) -> Float[Tensor, " n"]:
    """Return each example's loss under a network: the usual measure of how hard it is.

    Parameters
    ----------
    network : nn.Module
        Trained, on the same data or others; its mode is left as it is.
    head : Head
        Its head.
    batch : mapping of str to Tensor
        All examples: inputs and ``targets``.
    inputs : tuple of str
        Names of the entries that the network takes, in order.
    rows : int
        Examples that go through the network at once.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead
    >>> head = CategoricalHead(4, 3)
    >>> example_losses(head, head, {"inputs": torch.zeros(5, 4), "targets": torch.zeros(5, dtype=torch.int64)}).shape
    torch.Size([5])
    """
    n = len(batch["targets"])
    parts = [{name: tensor[low : low + rows] for name, tensor in batch.items()} for low in range(0, n, rows)]
    return torch.cat([head.losses(network(*(part[name] for name in inputs)), part["targets"]) for part in parts])
