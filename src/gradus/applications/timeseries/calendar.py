"""What a time stamp says beside its order: the length of a season, and where in day, week and year it lies."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["calendar_features", "calendar_parts", "season_of"]

DAY, HOUR = 86_400.0, 3_600.0  # seconds
# Steps shorter than this repeat by the hour rather than by the day: a season of 1,440 minutes is no season to learn.
FINE = 600.0
# Waves of each part: three describe any pattern of seven days, two the year's course without its single days.
HARMONICS = {"hour": 3, "weekday": 3, "year": 2}


def _seconds(step: str) -> float | None:
    """Return the length of a step in seconds where every step has the same, else None (months, business days)."""
    offset = pd.tseries.frequencies.to_offset(step)
    if isinstance(offset, pd.offsets.Week):
        return 7 * DAY * offset.n
    if isinstance(offset, pd.offsets.Day):
        return DAY * offset.n
    try:
        return pd.Timedelta(offset.nanos, "ns").total_seconds()
    except (AttributeError, ValueError):
        return None


def season_of(step: str | float) -> int:
    """Return how many steps the usual season of a series has.

    Hours repeat by the day, days by the week, weeks, months and quarters by the year; what is finer than ten minutes
    repeats by the hour. Numbered steps and years have no season: 1.

    Parameters
    ----------
    step : str or float
        A pandas frequency such as ``"D"``, or the difference of labels that are numbers.

    Returns
    -------
    int
        1 or more.

    Examples
    --------
    >>> [season_of(step) for step in ("h", "30min", "min", "D", "B", "W-SAT", "MS", "QE-DEC", "YS-JAN", 1.0)]
    [24, 48, 60, 7, 5, 52, 12, 4, 1, 1]
    """
    if not isinstance(step, str):
        return 1
    offset = pd.tseries.frequencies.to_offset(step)
    if isinstance(offset, pd.offsets.BusinessDay):
        return 5 if offset.n == 1 else 1
    seconds = _seconds(step)
    if seconds is None:
        name = offset.rule_code.split("-")[0]
        per_year = 12 if name in {"MS", "ME", "BMS", "BME"} else 4 if name.rstrip("SE") in {"Q", "BQ"} else 1
        return per_year // offset.n if per_year % offset.n == 0 else 1
    if seconds >= DAY:
        return {DAY: 7, 7 * DAY: 52}.get(seconds, 1)
    whole = DAY if seconds >= FINE else HOUR if seconds >= 1 else 60.0
    count = whole / seconds
    return round(count) if abs(count - round(count)) < 1e-9 else 1


def calendar_parts(step: str | float) -> tuple[str, ...]:
    """Return the parts of a calendar that vary from step to step and come back: hour, weekday, year.

    Examples
    --------
    >>> calendar_parts("h"), calendar_parts("D"), calendar_parts("MS"), calendar_parts("YS"), calendar_parts(1.0)
    (('hour', 'weekday', 'year'), ('weekday', 'year'), ('year',), (), ())
    """
    if not isinstance(step, str):
        return ()
    offset = pd.tseries.frequencies.to_offset(step)
    seconds = _seconds(step)
    if seconds is None:
        if isinstance(offset, pd.offsets.BusinessDay):
            return ("weekday", "year")
        return ("year",) if season_of(step) > 1 else ()
    parts = (("hour",) if seconds < DAY else ()) + (("weekday",) if seconds % (7 * DAY) and seconds < 7 * DAY else ())
    return (*parts, "year") if seconds < 180 * DAY else parts


def calendar_features(stamps: pd.Index, parts: tuple[str, ...]) -> NDArray[np.float32]:
    """Return sines and cosines of where each stamp lies in its day, week and year.

    Midnight follows 23 o'clock and January December: as points on a circle they are neighbours, as numbers they are
    not.

    Parameters
    ----------
    stamps : DatetimeIndex of length n
        Times without a zone.
    parts : tuple of str
        From `calendar_parts`; empty makes no column.

    Returns
    -------
    ndarray of shape (n, columns)
        In [-1, 1].

    Examples
    --------
    >>> features = calendar_features(pd.date_range("2024-01-01", periods=14), ("weekday",))
    >>> features.shape, bool(np.allclose(features[:7], features[7:], atol=1e-6))
    ((14, 6), True)
    """
    columns: list[NDArray[np.float64]] = []
    for part in parts:
        phase = _phase(pd.DatetimeIndex(stamps), part)
        for wave in range(1, HARMONICS[part] + 1):
            columns += [np.sin(2 * np.pi * wave * phase), np.cos(2 * np.pi * wave * phase)]
    return np.stack(columns, 1).astype(np.float32) if columns else np.empty((len(stamps), 0), np.float32)


def _phase(stamps: pd.DatetimeIndex, part: str) -> NDArray[np.float64]:
    """Return the share of the day, week or year that has passed, in [0, 1)."""
    day = np.asarray((stamps - stamps.normalize()) / pd.Timedelta(days=1), dtype=np.float64)
    if part == "hour":
        return day
    if part == "weekday":
        return (stamps.day_of_week.to_numpy() + day) / 7
    length = np.where(stamps.is_leap_year, 366.0, 365.0)
    return (stamps.day_of_year.to_numpy() - 1 + day) / length
