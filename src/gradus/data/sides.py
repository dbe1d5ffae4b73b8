"""The rule by which the rows of a table larger than memory are put on sides, each row by itself.

By content: a hash of a row's inputs, so that equal rows lie on one side. By groups: a hash of the group. By time:
before and after two moments, the quantiles of a sample of all times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.core.errors import DataError, InputError
from gradus.data.frames import date_parts, written_as
from gradus.data.gathering import Sampler
from gradus.data.memory import Shares
from gradus.data.parquet import ParquetSource
from gradus.data.rowkeys import column_keys, key_of_numbers, uniform
from gradus.data.splitting import SIDES, TEST, TRAIN, VALID

__all__ = ["Roles", "Sides", "sides_for"]

# Times that tell a quantile to a tenth of a per cent.
TIMES = 200_000


class Roles:
    """Which column is what, and how the columns that split are read.

    Parameters
    ----------
    source : ParquetSource
        The table.
    head : DataFrame
        Its first rows, which tell the format of dates.
    target : str
        The target's column.
    group, time : str or None
        The columns to split by.
    """

    def __init__(
        self, source: ParquetSource, head: pd.DataFrame, target: str, group: str | None, time: str | None
    ) -> None:
        self.source, self.target, self.group, self.time = source, target, group, time
        self.inputs = [name for name in source.names if name not in (target, group)]
        self.form = None if time is None or not len(head) else written_as(head[time])
        self.dated = time is not None and not pd.api.types.is_numeric_dtype(head[time].dtype)

    def times(self, table: Any) -> NDArray[np.float64]:
        """Return the rows' times as numbers that sort as they do."""
        series = self.source.frame(table.select([self.time]))[self.time]
        if series.isna().any():
            received = f"{int(series.isna().sum())} missing"
            raise DataError(f"a time in every row of {self.time!r}", received, "fill or drop those rows")
        if not self.dated:
            return series.to_numpy(dtype=np.float64)
        if self.form is None and not pd.api.types.is_datetime64_any_dtype(series.dtype):
            received = f"values such as {series.iloc[0]!r}"
            raise DataError(f"dates in column {self.time!r}", received, "write them as 2024-01-31")
        days = date_parts(series, self.form)["days"]
        if np.isnan(days).any():
            bad = series[np.isnan(days)].iloc[0]
            raise DataError(f"dates in every row of {self.time!r}", f"{bad!r} among them", "correct those rows")
        return days


@dataclass(frozen=True)
class Sides:
    """The rule by which rows are put on sides.

    Parameters
    ----------
    roles : Roles
        Which column is what.
    test, valid : float
        Shares of all rows.
    seed : int
        Seed of the hash.
    by : {"content", "row", "group", "time"}
        What decides.
    cuts : tuple of float
        The times at which validation and test begin.
    """

    roles: Roles
    test: float
    valid: float
    seed: int
    by: str
    cuts: tuple[float, float] = (np.inf, np.inf)

    def by_row(self) -> Sides:
        """Return the rule that looks at a row's place alone: for tables of few different rows."""
        return replace(self, by="row")

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of all rows on each side."""
        return np.array([1 - self.valid - self.test, self.valid, self.test])

    def of(self, table: Any, keys: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the side of each row, int64 of shape (n,)."""
        if self.by == "time":
            times = self.roles.times(table)
            return np.where(times >= self.cuts[1], TEST, np.where(times >= self.cuts[0], VALID, TRAIN))
        if self.by == "group":
            column = table.column(self.roles.group)
            if column.null_count:
                expected = f"a group in every row of {self.roles.group!r}"
                raise DataError(expected, f"{column.null_count} missing", "fill or drop those rows")
            keys = column_keys(column)
        if self.by == "row":
            keys = key_of_numbers(places)
        draws = uniform(keys, self.seed, "split")
        return np.where(draws < self.test, TEST, np.where(draws < self.test + self.valid, VALID, TRAIN))

    def told(self, counts: NDArray[np.int64], held: NDArray[np.int64]) -> str:
        """Say in one sentence what was done; ``held`` are the rows in memory."""
        ways = {
            "content": f"by a hash of each row, seed {self.seed}",
            "row": f"at random, seed {self.seed}",
            "group": f"by groups, seed {self.seed}",
            "time": "by time, the last rows for test and those before them for validation",
        }
        parts = [f"{counts[TRAIN]:,} rows for training"]
        for side in (VALID, TEST):
            of = f" of {counts[side]:,}" if held[side] < counts[side] else ""
            parts.append(f"{held[side]:,}{of} for {SIDES[side]}")
        return f"{ways[self.by]}: {', '.join(parts)}"


def sides_for(roles: Roles, test: float, valid: float, shares: Shares, seed: int) -> Sides:
    """Return the rule for a table: by time or groups where asked for, else by content.

    Parameters
    ----------
    roles : Roles
        Which column is what.
    test, valid : float
        Shares of all rows, each in (0, 1), together below 1.
    shares : Shares
        Rows that are held in memory: at random, no more are held out.
    seed : int
        Seed of the hash.

    Raises
    ------
    InputError
        If there are fewer than three different times.
    """
    if roles.time is not None:
        return Sides(roles, test, valid, seed, "time", _cuts(roles, test, valid, seed))
    if roles.group is not None:
        return Sides(roles, test, valid, seed, "group")
    # Rows that would be held out and not looked at are better learned from.
    most = shares.held / max(roles.source.n_rows, 1)
    return Sides(roles, min(test, most), min(valid, most), seed, "content")


def _cuts(roles: Roles, test: float, valid: float, seed: int) -> tuple[float, float]:
    """Return the times at which validation and test begin, by the quantiles of a sample of all times."""
    sampler = Sampler(TIMES, lambda rows, mask: rows[mask], np.concatenate)
    for table, places in pieces_of(roles.source, [str(roles.time)]):
        sampler.add(roles.times(table), uniform(key_of_numbers(places), seed, "times"), places)
    times = np.sort(sampler.taken()[0])
    later = np.unique(times)[1:]
    if len(later) < 2:
        received = f"{len(later) + 1} different ones"
        raise InputError("more different times than sides of the split", received, "split at random")
    begin = later[np.searchsorted(later[:-1], times[int(len(times) * (1 - test - valid))]).clip(0, len(later) - 2)]
    after = later[later > begin]
    end = after[np.searchsorted(after, times[int(len(times) * (1 - test))]).clip(0, len(after) - 1)]
    return float(begin), float(end)


def pieces_of(source: ParquetSource, columns: list[str] | None = None) -> Iterator[tuple[Any, NDArray[np.int64]]]:
    for group in source.groups:
        at = group.first
        for table in source.pieces(group, columns):
            yield table, np.arange(at, at + len(table), dtype=np.int64)
            at += len(table)
