"""What one pass over rows gathers: a bounded uniform sample, and the target's values by side of the split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.data.columns import looks_like_classes

__all__ = ["MAX_CLASSES", "Sampler", "TargetTally"]

MAX_CLASSES = 10_000


class Sampler:
    """Keep the rows with the smallest draws: a uniform sample, whatever the pieces the rows come in.

    Parameters
    ----------
    size : int
        Rows to keep at most; up to twice as many are held on the way.
    pick : callable
        ``(rows, mask) -> rows``: those rows of a piece.
    join : callable
        ``[rows, ...] -> rows``: pieces as one.

    Examples
    --------
    >>> sampler = Sampler(2, lambda rows, mask: rows[mask], np.concatenate)
    >>> sampler.add(np.array(["a", "b", "c"]), np.array([0.9, 0.1, 0.5]), np.arange(3))
    >>> rows, places = sampler.taken()
    >>> rows.tolist(), places.tolist()
    (['b', 'c'], [1, 2])
    """

    def __init__(
        self, size: int, pick: Callable[[Any, NDArray[np.bool_]], Any], join: Callable[[list[Any]], Any]
    ) -> None:
        self.size, self._pick, self._join = size, pick, join
        self._parts: list[Any] = []
        self._draws: list[NDArray[np.float64]] = []
        self._places: list[NDArray[np.int64]] = []
        self._limit, self._held = np.inf, 0

    def wants(self, draws: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which rows could still be kept, so that no others need be fetched."""
        return draws < self._limit

    def add(self, rows: Any, draws: NDArray[np.float64], places: NDArray[np.int64]) -> None:
        """Take in rows with a draw in [0, 1) and a place in the whole each."""
        mask = self.wants(draws)
        if not mask.any():
            return
        self._parts.append(self._pick(rows, mask))
        self._draws.append(draws[mask])
        self._places.append(places[mask])
        self._held += int(mask.sum())
        if self._held > 2 * self.size:
            self._prune()

    def _prune(self) -> None:
        draws, places = np.concatenate(self._draws), np.concatenate(self._places)
        rows = self._join(self._parts)
        if len(draws) > self.size:
            self._limit = float(np.partition(draws, self.size)[self.size])
            mask = draws < self._limit
            rows, draws, places = self._pick(rows, mask), draws[mask], places[mask]
        self._parts, self._draws, self._places, self._held = [rows], [draws], [places], len(draws)

    def taken(self) -> tuple[Any, NDArray[np.int64]]:
        """Return the rows kept, in the order they came, and their places; None where none came."""
        if not self._parts:
            return None, np.empty(0, dtype=np.int64)
        self._prune()
        return self._parts[0], self._places[0]


class TargetTally:
    """The different values of a target and how many rows of each lie on each side.

    Beyond 10,000 different values only their range is kept: they are no classes.

    Attributes
    ----------
    counts : dict of value to int64 array of shape (3,)
        Rows for training, validation and test; empty where there are too many values.
    many : bool
        Whether there are.
    sides : int64 array of shape (3,)
        Rows counted on each side.
    low, high : float
        The range of numbers.

    Examples
    --------
    >>> tally = TargetTally()
    >>> tally.add(pd.Series(["a", "b", "a"]), np.array([0, 0, 2]))
    >>> {value: sides.tolist() for value, sides in tally.counts.items()}
    {'a': [1, 0, 1], 'b': [1, 0, 0]}
    """

    def __init__(self) -> None:
        self.counts: dict[Any, NDArray[np.int64]] = {}
        self.many, self.sides = False, np.zeros(3, dtype=np.int64)
        self.low, self.high = np.inf, -np.inf

    @property
    def n(self) -> int:
        """Rows counted."""
        return int(self.sides.sum())

    def add(self, values: pd.Series, sides: NDArray[np.int64]) -> None:
        """Count values, none of them missing, with the side each row lies on."""
        self.sides += np.bincount(sides, minlength=3)
        if not len(values):
            return
        if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if self.many:
            return
        codes, distinct = pd.factorize(values)
        table = np.bincount(codes * 3 + sides, minlength=3 * len(distinct)).reshape(-1, 3)
        if len(self.counts) + len(distinct) <= MAX_CLASSES or len(self.counts.keys() | set(distinct)) <= MAX_CLASSES:
            for value, row in zip(distinct.tolist(), table, strict=True):
                self.counts[value] = self.counts.get(value, 0) + row
        else:
            self.many = True
            self.counts.clear()

    def are_classes(self) -> bool:
        """Whether the values look like classes, as `looks_like_classes` would tell of all of them."""
        if self.many:
            return False
        values = pd.Series(list(self.counts))
        # It asks for the different values and the number of rows; so many rows as it can ask for will do.
        rows = min(self.n, 5 * len(values))
        return looks_like_classes(pd.concat([values, values.iloc[:1].repeat(rows - len(values))], ignore_index=True))
