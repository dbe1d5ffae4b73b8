"""Sequences of unequal length, packed so that one operation handles a time step of all of them, without padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradus.core.errors import InputError

__all__ = ["Layout", "layout_of", "read_sequences"]


class Layout(NamedTuple):
    """Where the steps of packed sequences lie: first those of time 0, the longest sequence first, then of time 1 ...

    Attributes
    ----------
    lengths : list of int
        Steps of each sequence, in the order given.
    order : ndarray of shape (sequences,)
        Sequences from the longest to the shortest.
    offsets, active : list of int
        Where each time begins, and how many sequences reach it.
    source : Tensor of shape (steps,)
        Which row of the concatenated sequences each packed column is.
    sequence : Tensor of shape (steps,)
        Which sequence it belongs to.
    """

    lengths: list[int]
    order: NDArray[np.int64]
    offsets: list[int]
    active: list[int]
    source: Tensor
    sequence: Tensor

    @property
    def before(self) -> Tensor | slice:
        """Columns that have a successor, in the order of the successors, which are all but those of time 0."""
        n, total = self.active[0], len(self.source)
        if self.active[-1] == n:
            return slice(0, total - n)
        index = [torch.arange(s, s + a) for s, a in zip(self.offsets, self.active[1:], strict=False)]
        return torch.cat(index)


def layout_of(lengths: list[int]) -> Layout:
    """Return how sequences of these lengths are packed.

    Examples
    --------
    >>> found = layout_of([1, 3])
    >>> found.source.tolist(), found.active
    ([1, 0, 2, 3], [2, 1, 1])
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    starts = (np.cumsum(sizes) - sizes)[order]
    active = len(sizes) - np.searchsorted(np.sort(sizes), np.arange(sizes.max()), side="right")
    offsets = np.cumsum(active) - active
    time = np.repeat(np.arange(len(active)), active)
    place = np.arange(active.sum()) - np.repeat(offsets, active)
    source, sequence = torch.from_numpy(starts[place] + time), torch.from_numpy(order[place])
    return Layout(sizes.tolist(), order, offsets.tolist(), active.tolist(), source, sequence)


def read_sequences(X: Any, lengths: Any = None) -> tuple[NDArray[Any], list[int], bool]:
    """Return the rows of all sequences one after another, the lengths, and whether a list of sequences came.

    Parameters
    ----------
    X : list of array-like, or array-like
        Sequences of shape (steps,) or (steps, features) each; or one array of shape (sequences, steps, features); or
        all rows in one array of shape (steps,) or (steps, features).
    lengths : array-like of int, optional
        Steps of each sequence, where ``X`` holds all rows; one sequence by default.

    Returns
    -------
    ndarray of shape (steps, features), list of int, bool
        Rows, lengths, and whether answers should come as a list.

    Raises
    ------
    InputError
        If a sequence is empty, widths differ, or lengths do not add up.

    Examples
    --------
    >>> rows, lengths, _ = read_sequences([[1.0, 2.0], [3.0]])
    >>> rows.shape, lengths
    ((3, 1), [2, 1])
    """
    if isinstance(X, list | tuple) and X and np.ndim(X[0]) > 0:
        parts = [np.asarray(x) for x in X]
    elif isinstance(X, np.ndarray) and (X.ndim == 3 or (X.dtype == object and X.ndim == 1)):
        parts = [np.asarray(x) for x in X]
    else:
        return _cut(np.asarray(X), lengths)
    if lengths is not None:
        raise InputError("lengths only with all rows in one array", "them with a list", "leave lengths out")
    if not parts:
        raise InputError("one sequence or more", "none", "pass a list of arrays")
    parts = [part[:, None] if part.ndim == 1 else part for part in parts]
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1 or any(part.ndim != 2 for part in parts):
        found = ", ".join(sorted({str(part.shape) for part in parts})[:3])
        raise InputError("sequences of shape (steps, features) of one width", found, "make the widths equal")
    sizes = [len(part) for part in parts]
    _check_lengths(sizes)
    return np.concatenate(parts), sizes, True


def _cut(rows: NDArray[Any], lengths: Any) -> tuple[NDArray[Any], list[int], bool]:
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2:
        mend = "pass a list of arrays of shape (steps, features)"
        raise InputError("sequences", f"an array of shape {rows.shape}", mend)
    sizes = [len(rows)] if lengths is None else [int(n) for n in np.asarray(lengths).ravel()]
    _check_lengths(sizes)
    if sum(sizes) != len(rows):
        mend = "pass the number of steps of each sequence"
        raise InputError(f"lengths that add up to the {len(rows)} rows", f"a sum of {sum(sizes)}", mend)
    return rows, sizes, False


def _check_lengths(sizes: list[int]) -> None:
    if not sizes or min(sizes) < 1:
        raise InputError("sequences of one step or more", "an empty one", "drop it")
