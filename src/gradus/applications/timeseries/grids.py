"""Regular grids of dates or numbers: the step between labels, found although some are missing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.core.errors import InputError

__all__ = ["grid_of", "labels_of", "step_of"]

# Shortest steps of each calendar unit, in days; months and years have no one length.
_UNITS = ((27.5, 31.5, ("MS", "ME")), (89.5, 92.5, ("QS-{}", "QE-{}")), (364.5, 366.5, ("YS-{}", "YE-{}")))

# Units of one length each, in nanoseconds.
_PLAIN = (("D", 86_400 * 10**9), ("h", 3600 * 10**9), ("min", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3))


def labels_of(start: Any, step: str | float, n: int) -> pd.Index:
    """Return ``n`` labels from ``start`` on.

    Examples
    --------
    >>> labels_of(1871.0, 1.0, 3).tolist()
    [1871.0, 1872.0, 1873.0]
    """
    if isinstance(step, str):
        return pd.date_range(start, periods=n, freq=step)
    return pd.Index(start + step * np.arange(n))


def step_of(index: pd.Index) -> str | float:
    """Return the step of sorted labels: the one that most neighbours are apart.

    Parameters
    ----------
    index : Index
        Different dates without a zone or numbers, ascending; 2 or more.

    Returns
    -------
    str or float
        A pandas frequency for dates, a difference for numbers.

    Raises
    ------
    InputError
        If there are fewer than two labels, or dates have no step that pandas can name.

    Examples
    --------
    >>> step_of(pd.DatetimeIndex(["2024-01-31", "2024-02-29", "2024-04-30"])), step_of(pd.Index([0, 10, 20, 40]))
    ('ME', 10.0)
    """
    if len(index) < 2:
        raise InputError("series of two values or more", f"{len(index)}", "pass a longer history")
    if not isinstance(index, pd.DatetimeIndex):
        steps, counts = np.unique(np.diff(index.to_numpy(dtype=np.float64)), return_counts=True)
        return float(steps[counts.argmax()])
    named = _regular_step(index)
    if named is not None:
        return named
    steps, counts = np.unique(np.diff(index.to_numpy()), return_counts=True)
    usual = pd.Timedelta(steps[counts.argmax()])
    days = usual / pd.Timedelta(days=1)
    for low, high, names in _UNITS:
        if low < days < high and (found := _calendar_step(index, names)) is not None:
            return found
    if days == 1 and len(index) > 10 and not (index.day_of_week >= 5).any():
        return "B"
    if days == 7:
        return f"W-{index[0].strftime('%a').upper()}"
    return _plain_step(usual)


def _regular_step(index: pd.DatetimeIndex) -> str | None:
    """Return the frequency of dates of which none is missing."""
    if len(index) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 4 returns another type, and says so
        found = pd.infer_freq(index)
    return found if found is None or isinstance(found, str) else str(found.freqstr)


def _plain_step(usual: pd.Timedelta) -> str:
    """Return a step of one length in the largest unit that has a whole number of it."""
    length = int(usual.as_unit("ns").value)
    for unit, each in _PLAIN:
        if length % each == 0:
            return unit if length == each else f"{length // each}{unit}"
    return f"{length}ns"


def _calendar_step(index: pd.DatetimeIndex, names: tuple[str, ...]) -> str | None:
    """Return the first unit on whose grid all dates lie."""
    for name in names:
        for month in (index[0].strftime("%b").upper(),) if "{}" in name else ("",):
            frequency = name.format(month)
            grid = pd.date_range(index[0], index[-1], freq=frequency)
            if len(grid) and index.isin(grid).all():
                return frequency
    return None


def grid_of(index: pd.Index, step: str | float, name: str) -> tuple[NDArray[np.int64], int]:
    """Return the place of each label on the grid from the first to the last, and how long that grid is.

    Raises
    ------
    InputError
        If a label lies between two steps.

    Examples
    --------
    >>> places, n = grid_of(pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2024-01-05"]), "D", "sold")
    >>> places.tolist(), n
    ([0, 1, 4], 5)
    """
    if isinstance(step, str):
        grid = pd.date_range(index[0], index[-1], freq=step)
        places = grid.get_indexer(index)
        off = places < 0
        mend = f"bring them onto a grid first, for example with frame.resample({step!r}).mean()"
    else:
        steps = (index.to_numpy(dtype=np.float64) - float(index[0])) / step
        places = np.round(steps).astype(np.int64)
        off = np.abs(steps - places) > 1e-6
        mend = "bring them onto a grid first, or number them"
    if off.any():
        raise InputError(f"stamps of {name!r} {step} apart", f"{index[int(np.argmax(off))]} between two steps", mend)
    return places.astype(np.int64), int(places[-1]) + 1
