"""Windows of a long sequence as batches, at a position that is still a pair of integers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch

__all__ = ["WindowBatches", "windows"]


class WindowBatches:
    """Batches of windows cut from one long sequence of tokens, each with its successor as target.

    An epoch cuts the sequence into windows that do not overlap, from an offset drawn anew for each epoch, and takes
    them in a random order: every token is a target about once an epoch, and not always at the same distance from the
    start of its window.

    Parameters
    ----------
    tokens : Tensor of shape (length,), integers
        The sequence; longer than one window.
    length : int
        Tokens a window, 1 or more.
    batch_size : int
        Windows a step; the last batch of an epoch may be smaller.
    seed : int
        Source of offsets and orders.

    Raises
    ------
    InputError
        If the sequence is shorter than a window and its successor.

    Examples
    --------
    >>> data = WindowBatches(torch.arange(10), length=3, batch_size=2, seed=0)
    >>> batch = next(data.epoch(0))
    >>> bool((batch["targets"] == batch["inputs"] + 1).all()), len(data)
    (True, 1)
    """

    def __init__(self, tokens: Int[Tensor, " length"], *, length: int, batch_size: int, seed: int = 0) -> None:
        for name, size in {"length": length, "batch_size": batch_size}.items():
            if size < 1:
                raise SettingError(f"{name} to be 1 or more", str(size), f"set for example {name}=64")
        if tokens.ndim != 1 or tokens.is_floating_point():
            received = f"{tokens.dtype} of shape {tuple(tokens.shape)}"
            raise InputError("tokens as integers of shape (length,)", received, "encode the text first")
        if len(tokens) <= length:
            mend = "pass a longer text, or set a smaller context"
            raise InputError(f"more than {length} tokens", str(len(tokens)), mend)
        self.tokens, self.length, self.batch_size, self.seed = tokens, length, batch_size, seed
        # The same number in every epoch, whatever the offset, so that a step's epoch can be told by dividing.
        self.n_examples = max(1, (len(tokens) - length) // length)
        self._slack = len(tokens) - 1 - self.n_examples * length

    def __len__(self) -> int:
        """Return the number of steps in one epoch."""
        return -(-self.n_examples // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on."""
        source = generator(derive(self.seed, "windows", epoch))
        offset = int(torch.randint(self._slack + 1, (), generator=source))
        order = torch.randperm(self.n_examples, generator=source)
        starts = (order * self.length + offset).to(self.tokens.device)
        for rows in starts.split(self.batch_size)[start:]:
            yield windows(self.tokens, rows, self.length)


def windows(tokens: Int[Tensor, " length"], starts: Int[Tensor, " n"], length: int) -> Batch:
    """Return the windows that begin at ``starts``, and as targets the same moved on by one token.

    Examples
    --------
    >>> windows(torch.arange(6), torch.tensor([1]), 3)["targets"].tolist()
    [[2, 3, 4]]
    """
    cut = tokens[starts.unsqueeze(1) + torch.arange(length + 1, device=tokens.device)].long()
    return {"inputs": cut[:, :-1], "targets": cut[:, 1:]}
