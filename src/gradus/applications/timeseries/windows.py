"""Windows of series as batches: a history, its calendar, and what followed; cut when asked for, never stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradus.applications.timeseries.calendar import calendar_features
from gradus.applications.timeseries.series import SeriesSet
from gradus.core.errors import InputError
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch

__all__ = ["WindowBatches", "Windows", "scales_of"]


def scales_of(past: SeriesSet) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each series, shape (series,); of a constant one the deviation is 1.

    Networks compute in single precision: a level of a million with a swing of one would be rounded to nothing.
    """
    means = np.array([values.mean() for values in past.values])
    deviations = np.array([values.std() for values in past.values])
    rounding = 1e-12 * np.abs(means)
    return means, np.where(deviations <= rounding, 1.0, deviations)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Series laid end to end, and where windows begin in them.

    Parameters
    ----------
    values : Tensor of shape (total,)
        Every series' values, each standardized by its own mean and deviation; float32.
    observed : Tensor of shape (total,)
        1 where a value was there, 0 where a gap was filled.
    calendar : Tensor of shape (total, columns)
        Calendar features of every value.
    starts : Tensor of shape (windows,)
        Places of first values, int64.
    lookback, horizon : int
        Steps read and steps forecast.
    """

    values: Tensor
    observed: Tensor
    calendar: Tensor
    starts: Tensor
    lookback: int
    horizon: int

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.starts)

    @classmethod
    def of(
        cls, past: SeriesSet, parts: tuple[str, ...], lookback: int, horizon: int, hold_out: float = 0.0
    ) -> tuple[Windows, Windows]:
        """Return windows to learn from, and those held out: what they forecast lies after what is learned.

        Parameters
        ----------
        past : SeriesSet
            The series.
        parts : tuple of str
            Of the calendar.
        lookback, horizon : int
            Steps read and forecast.
        hold_out : float
            Share of each series' end whose values no learning window forecasts or reads.
        """
        means, deviations = scales_of(past)
        learn, held, begin = [], [], 0
        for n in past.lengths:
            kept = n - max(horizon, round(n * hold_out)) if hold_out else n
            first, last = np.arange(n - lookback - horizon + 1), np.arange(max(0, n - lookback - horizon + 1))
            learn.append(begin + first[first + lookback + horizon <= kept] if len(first) else first)
            held.append(begin + last[last + lookback >= kept])
            begin += n
        values = [(v - m) / d for v, m, d in zip(past.values, means, deviations, strict=True)]
        stamps = [calendar_features(past.labels(i), parts) for i in range(len(past))]
        store = {
            "values": torch.from_numpy(np.concatenate(values).astype(np.float32)),
            "observed": torch.from_numpy(np.concatenate(past.observed).astype(np.float32)),
            "calendar": torch.from_numpy(np.concatenate(stamps)),
        }
        sides = [torch.from_numpy(np.concatenate(part).astype(np.int64)) for part in (learn, held)]
        made = [cls(**store, starts=starts, lookback=lookback, horizon=horizon) for starts in sides]
        # A window whose every target was a gap has nothing to learn or to judge.
        return made[0]._with_targets(), made[1]._with_targets()

    def _with_targets(self) -> Windows:
        if not len(self) or bool(self.observed.all()):
            return self
        after = self.starts[:, None] + self.lookback + torch.arange(self.horizon)
        return self.at(self.starts[self.observed[after].any(1)])

    def at(self, starts: Tensor) -> Windows:
        """Return the same series with windows at other places."""
        return Windows(
            values=self.values,
            observed=self.observed,
            calendar=self.calendar,
            starts=starts,
            lookback=self.lookback,
            horizon=self.horizon,
        )

    def thinned(self, most: int) -> Windows:
        """Return at most ``most`` windows, evenly spread."""
        if len(self) <= most:
            return self
        return self.at(self.starts[torch.linspace(0, len(self) - 1, most).round().long()])

    def take(self, index: Tensor) -> Batch:
        """Return the windows of these numbers as one batch."""
        place = self.starts[index][:, None] + torch.arange(self.lookback + self.horizon)
        values, calendar = self.values[place], self.calendar[place]
        return {
            "past": values[:, : self.lookback],
            "past_calendar": calendar[:, : self.lookback],
            "future_calendar": calendar[:, self.lookback :],
            "targets": values[:, self.lookback :],
            "observed": self.observed[place[:, self.lookback :]],
        }

    def whole(self) -> Batch:
        """Return every window as one batch."""
        return self.take(torch.arange(len(self)))

    def fingerprint(self) -> str:
        """Return what tells these windows from others."""
        hasher = hashlib.sha256(f"{self.lookback}/{self.horizon}".encode())
        for tensor in (self.values, self.observed, self.calendar, self.starts):
            hasher.update(tensor.contiguous().numpy().tobytes())
        return hasher.hexdigest()


class WindowBatches:
    """Windows in a new order each epoch, which follows from the seed and the epoch alone.

    Parameters
    ----------
    windows : Windows
        What is cut into batches; one or more.
    batch_size : int
        Windows a step; the last batch of an epoch may be smaller.
    seed : int
        Source of the orders.

    Examples
    --------
    >>> from gradus.applications.timeseries.series import read_series
    >>> windows, _ = Windows.of(read_series(np.arange(9.0)), (), lookback=3, horizon=2)
    >>> batches = WindowBatches(windows, batch_size=2)
    >>> len(batches), [len(batch["past"]) for batch in batches.epoch(0, start=1)]
    (3, [2, 1])
    """

    def __init__(self, windows: Windows, *, batch_size: int, seed: int = 0) -> None:
        if not len(windows):
            raise InputError("one window or more", "none", "pass longer series, or set a shorter lookback or horizon")
        self.windows, self.batch_size = windows, batch_size
        self._order = derive(seed, "windows")
        # By this number, and that of the steps, a checkpoint knows the batches it belongs to: other values, another.
        self.seed = derive(seed, "windows", windows.fingerprint())

    def __len__(self) -> int:
        """Return the number of steps in one epoch."""
        return -(-len(self.windows) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on, always the same ones."""
        order = torch.randperm(len(self.windows), generator=generator(derive(self._order, epoch)))
        for index in order.split(self.batch_size)[start:]:
            yield self.windows.take(index)
