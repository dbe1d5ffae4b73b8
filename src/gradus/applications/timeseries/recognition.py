"""Whether a table is a series in time, and why; which of its columns say so."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from gradus.applications.timeseries.grids import grid_of, step_of
from gradus.core.errors import InputError
from gradus.data.columns import infer_columns, parse_dates

__all__ = ["SeriesLayout", "layout_of", "looks_like_series"]

LEAST_ROWS = 30
# Share of steps between the first and the last stamp that have a value: rows of events have dates too, but no rhythm.
LEAST_FILLED = 0.8
YEAR = re.compile(r"^(year|yr|jahr|year_?no)$", re.I)
WORDS = {"D": "day", "h": "hour", "B": "business day", "W": "week", "M": "month", "Q": "quarter", "Y": "year"}


class SeriesLayout(NamedTuple):
    """Where the series of a table stand.

    Attributes
    ----------
    time : str or None
        Column of stamps; None for the index.
    targets : tuple of str
        Columns of numbers.
    by : str or None
        Column that names the series of a long table.
    step : str or float
        As in `SeriesSet`.
    n_series, n_steps : int
        How many series, and values of the longest.
    """

    time: str | None
    targets: tuple[str, ...]
    by: str | None
    step: str | float
    n_series: int
    n_steps: int


def looks_like_series(frame: pd.DataFrame) -> str | None:
    """Return why a table is taken for a series in time, or None where it is not.

    One column of dates (or the index, or a column of years) whose values lie on a regular grid, one row a step, or one
    a step and name in a long table; and a column of numbers.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=90)
    >>> looks_like_series(pd.DataFrame({"day": days, "sold": np.sqrt(np.arange(90.0))}))
    "column 'day' has one row a day, 90 of them"
    >>> looks_like_series(pd.DataFrame({"signed": np.repeat(days, 3), "sum": np.sqrt(np.arange(270.0))})) is None
    True
    """
    layout = layout_of(frame)
    if layout is None:
        return None
    step = layout.step
    word = WORDS.get(step.split("-")[0][:1] if step != "h" else "h", step) if isinstance(step, str) else "step"
    where = "the index" if layout.time is None else f"column {layout.time!r}"
    if layout.by is None:
        return f"{where} has one row a {word}, {layout.n_steps:,} of them"
    return f"{where} has one row a {word} for each of {layout.n_series:,} different values of {layout.by!r}"


def layout_of(frame: pd.DataFrame) -> SeriesLayout | None:
    """Return where the series stand, or None where the table is not one of series."""
    stamps = _stamps(frame)
    if stamps is None or len(frame) < LEAST_ROWS:
        return None
    time, values = stamps
    kinds = {column.name: column.kind for column in infer_columns(frame) if column.name != time}
    targets = tuple(name for name, kind in kinds.items() if kind == "number")
    if not targets or values.isna().any():
        return None
    if values.is_unique:
        found = _rhythm(pd.Index(values.sort_values()))
        return None if found is None else SeriesLayout(time, targets, None, found[0], 1, found[1])
    for by in (name for name, kind in kinds.items() if kind in ("category", "identifier", "boolean")):
        groups = [part for _, part in values.groupby(frame[by].to_numpy())]
        if len(groups) < 2 or not all(part.is_unique for part in groups):
            continue
        longest = max(groups, key=len)
        found = _rhythm(pd.Index(longest.sort_values())) if len(longest) >= 10 else None
        if found is not None:
            return SeriesLayout(time, targets, by, found[0], len(groups), found[1])
    return None


def _stamps(frame: pd.DataFrame) -> tuple[str | None, pd.Series] | None:
    """Return the column that holds stamps: the only one of dates, the index, or one of years."""
    if isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        index = frame.index.to_timestamp() if isinstance(frame.index, pd.PeriodIndex) else frame.index
        index = index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index
        return None, pd.Series(index, index=frame.index)
    dates = [column.name for column in infer_columns(frame) if column.kind == "date"]
    if len(dates) == 1:
        return dates[0], parse_dates(frame[dates[0]])
    years = [name for name in frame.columns if YEAR.match(str(name))]
    if not dates and len(years) == 1 and pd.api.types.is_numeric_dtype(frame[years[0]].dtype):
        values = frame[years[0]].astype(np.float64)
        if bool(((values % 1 == 0) & (values > 1000) & (values < 3000)).all()):
            return str(years[0]), values
    return None


def _rhythm(index: pd.Index) -> tuple[str | float, int] | None:
    """Return the step and the number of labels, if they lie on a grid that they fill well enough."""
    try:
        step = step_of(index)
        _, n = grid_of(index, step, "stamps")
    except (InputError, ValueError):
        return None
    return (step, len(index)) if len(index) / n >= LEAST_FILLED else None
