"""One or many series on a regular grid of steps: read, checked, completed, cut at an origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.applications.timeseries.grids import grid_of, labels_of, step_of
from gradus.core.errors import InputError, nearest
from gradus.data.columns import infer_columns, parse_dates
from gradus.data.dataset import Note
from gradus.data.frames import as_number
from gradus.networks.checks import chosen

__all__ = ["Gaps", "SeriesSet", "read_series"]

Gaps = Literal["refuse", "fill"]
Floats = NDArray[np.float64]
LARGEST = 1e100  # beyond it squares, which every scale is made of, are infinite


@dataclass(frozen=True, kw_only=True)
class SeriesSet:
    """Series that share one step and have each a value at every step.

    Parameters
    ----------
    names : tuple of str
        One name a series.
    values : tuple of ndarray of shape (length,)
        Float64, finite; the lengths may differ.
    observed : tuple of ndarray of shape (length,)
        False where a gap was filled: such values are read, and never learned or judged.
    starts : tuple
        Label of each series' first value: a `pandas.Timestamp`, or a number.
    step : str or float
        A pandas frequency, or the difference between two labels.
    flat : bool
        Whether it was given as one series without an axis of series; answers then have none either.
    notes : tuple of Note
        What was filled or cut off while reading.
    """

    names: tuple[str, ...]
    values: tuple[Floats, ...]
    observed: tuple[NDArray[np.bool_], ...]
    starts: tuple[Any, ...]
    step: str | float
    flat: bool = False
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self.values)

    @property
    def dated(self) -> bool:
        """Whether the labels are dates."""
        return isinstance(self.step, str)

    @property
    def lengths(self) -> list[int]:
        """Number of values of each series."""
        return [len(values) for values in self.values]

    def labels(self, i: int, ahead: int = 0) -> pd.Index:
        """Return the labels of series ``i``, with those of ``ahead`` steps after its end.

        Examples
        --------
        >>> read_series(pd.Series([1.0, 2.0, 3.0], pd.date_range("2024-01-30", periods=3))).labels(0, 1)[-1]
        Timestamp('2024-02-02 00:00:00')
        """
        return labels_of(self.starts[i], self.step, len(self.values[i]) + ahead)

    def without_last(self, drop: int) -> SeriesSet:
        """Return the history ``drop`` steps before the end of every series; nothing later is looked at.

        Raises
        ------
        InputError
            If a series has no value left.
        """
        if min(self.lengths) <= drop:
            received = f"one of {min(self.lengths)}"
            raise InputError(f"series of more than {drop} values", received, "name fewer origins or a shorter horizon")
        kept = [slice(0, n - drop) for n in self.lengths]
        return replace(
            self,
            values=tuple(v[part] for v, part in zip(self.values, kept, strict=True)),
            observed=tuple(o[part] for o, part in zip(self.observed, kept, strict=True)),
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the content as values that `Estimator.save` stores."""
        starts = np.array(self.starts, dtype="datetime64[ns]") if self.dated else np.array(self.starts, dtype=float)
        return {
            "names": list(self.names),
            "values": list(self.values),
            "observed": list(self.observed),
            "starts": starts,
            "step": self.step,
            "flat": self.flat,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> SeriesSet:
        """Undo `to_plain`."""
        dated = isinstance(plain["step"], str)
        return cls(
            names=tuple(plain["names"]),
            values=tuple(plain["values"]),
            observed=tuple(plain["observed"]),
            starts=tuple(pd.Timestamp(s) if dated else float(s) for s in plain["starts"]),
            step=plain["step"],
            flat=plain["flat"],
        )


def read_series(
    data: Any,
    *,
    time: str | None = None,
    target: str | Sequence[str] | None = None,
    by: str | None = None,
    gaps: Gaps = "refuse",
) -> SeriesSet:
    """Read one or many series from an array, a list of arrays, a pandas series or a frame.

    Parameters
    ----------
    data : array-like, list of arrays, Series, DataFrame or SeriesSet
        An array of shape (time,) or (time, series); a list of arrays of any lengths; a pandas series; a frame of one
        column a series; or with ``by`` a long frame of one row a step and series. Steps come from a column of dates,
        or from the index; else they are numbered from 0.
    time : str, optional
        The column of stamps; by default the only column of dates, else the index.
    target : str or sequence of str, optional
        The columns that are series; by default every column of numbers.
    by : str, optional
        The column that names the series of a long frame.
    gaps : {"refuse", "fill"}
        Missing stamps and values: an error, or the last value carried forward, which never looks ahead. What is
        missing at either end is cut off.

    Returns
    -------
    SeriesSet

    Raises
    ------
    InputError
        If there are no numbers, stamps repeat or lie on no regular grid, or there are gaps that may not be filled.

    Examples
    --------
    >>> frame = pd.DataFrame({"day": ["2024-01-01", "2024-01-02", "2024-01-04"], "sold": [3, 5, 4]})
    >>> shop = read_series(frame, gaps="fill")
    >>> shop.step, shop.values[0].tolist(), shop.observed[0].tolist()
    ('D', [3.0, 5.0, 5.0, 4.0], [True, True, False, True])
    """
    if isinstance(data, SeriesSet):
        return data
    chosen(gaps, ("refuse", "fill"), "gaps")
    columns, flat = _columns_of(data, time, target, by)
    step = _common_step([column.index for column in columns])
    names, values, observed, starts, notes = [], [], [], [], []
    for column in columns:
        given, start = _on_grid(column, step)
        complete, seen, cut = _complete(given, str(column.name), labels_of(start, step, len(given)), gaps)
        names.append(str(column.name))
        values.append(complete)
        observed.append(seen)
        starts.append(labels_of(start, step, cut + 1)[-1] if isinstance(step, str) else start + cut * step)
        if not seen.all():
            why = "filled with the last value before them, and left out of loss and scores"
            notes.append(Note(f"gaps in {column.name}", why, int((~seen).sum())))
    return SeriesSet(
        names=tuple(names),
        values=tuple(values),
        observed=tuple(observed),
        starts=tuple(starts),
        step=step,
        flat=flat,
        notes=tuple(notes),
    )


def _columns_of(data: Any, time: str | None, target: Any, by: str | None) -> tuple[list[pd.Series], bool]:
    """Return each series with its labels as index, and whether there was no axis of series."""
    if isinstance(data, pd.DataFrame):
        return _of_frame(data, time, target, by)
    if time is not None or target is not None or by is not None:
        raise InputError("a frame where columns are named", type(data).__name__, "pass a pandas DataFrame")
    if isinstance(data, pd.Series):
        return [_labelled(data.rename("series" if data.name is None else data.name))], True
    if isinstance(data, list | tuple) and data and np.ndim(data[0]) > 0:
        arrays = [_numbers(item) for item in data]
        if any(array.ndim != 1 for array in arrays):
            raise InputError("a list of arrays of shape (time,)", "one of more axes", "pass each series by itself")
        return [pd.Series(array, name=f"series {i}") for i, array in enumerate(arrays)], False
    array = _numbers(data)
    if array.ndim == 1:
        return [pd.Series(array, name="series")], True
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError("series of shape (time,) or (time, series)", str(array.shape), "put time first, series second")
    return [pd.Series(array[:, i], name=f"series {i}") for i in range(array.shape[1])], False


def _numbers(data: Any) -> Floats:
    try:
        return np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("series of numbers", f"values such as {data!r:.40}", "convert them to floats") from None


def _of_frame(frame: pd.DataFrame, time: str | None, target: Any, by: str | None) -> tuple[list[pd.Series], bool]:
    flat = isinstance(target, str) and by is None
    wanted = [target] if isinstance(target, str) else None if target is None else list(target)
    for name in [*([time] if time else []), *([by] if by else []), *(wanted or [])]:
        if name not in frame.columns:
            mend = f"{nearest(name, frame.columns)}name a column of the frame"
            raise InputError(f"a column {name!r}", f"columns {', '.join(map(str, frame.columns[:6]))}", mend)
    if time is None and not isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        dates = [c.name for c in infer_columns(frame) if c.kind == "date"]
        if len(dates) > 1:
            raise InputError("one column of dates", ", ".join(dates), "name the one that counts with time=")
        time = dates[0] if dates else None
    if time is not None:
        stamps = frame[time] if pd.api.types.is_numeric_dtype(frame[time].dtype) else parse_dates(frame[time])
        frame = frame.drop(columns=time).set_axis(pd.Index(stamps), axis=0)
    if wanted is None:
        wanted = [c for c in frame.columns if c != by and pd.api.types.is_numeric_dtype(frame[c].dtype)]
        wanted = [c for c in wanted if not pd.api.types.is_bool_dtype(frame[c].dtype)]
    if not wanted:
        raise InputError("a column of numbers to forecast", "none", "name it with target=")
    if by is None:
        return [_labelled(frame[name].set_axis(frame.index)) for name in wanted], flat
    if len(wanted) != 1:
        raise InputError("one column of numbers in a long frame", ", ".join(map(str, wanted)), "name it with target=")
    groups = frame.groupby(by, sort=True, observed=True)
    return [_labelled(rows[wanted[0]].rename(name)) for name, rows in groups], False


def _labelled(column: pd.Series) -> pd.Series:
    """Return the column in float64 in the order of its labels, which are dates or numbers."""
    index = column.index
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if isinstance(index, pd.DatetimeIndex) and index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    if not isinstance(index, pd.DatetimeIndex) and not pd.api.types.is_numeric_dtype(index.dtype):
        mend = "set the dates as index, or name their column with time="
        raise InputError(f"dates or numbers as labels of {column.name!r}", f"labels of {index.dtype}", mend)
    if index.hasnans:
        raise InputError(f"a stamp for every value of {column.name!r}", "missing stamps", "drop those rows")
    found = pd.Series(as_number(column), index=index, name=column.name).sort_index()
    if found.index.has_duplicates:
        twice = found.index[found.index.duplicated()][0]
        mend = "name the column that tells series apart with by=, or aggregate with groupby"
        raise InputError(f"one value a stamp in {column.name!r}", f"several at {twice}", mend)
    return found


def _common_step(indexes: list[pd.Index]) -> str | float:
    """Return the step of the longest series; one of a few values could have several."""
    dated = {isinstance(index, pd.DatetimeIndex) for index in indexes}
    if len(dated) > 1:
        raise InputError("labels of one kind", "dates and numbers", "label all series alike")
    return step_of(max(indexes, key=len))


def _on_grid(column: pd.Series, step: str | float) -> tuple[Floats, Any]:
    """Return the values at every step from the first to the last label, NaN where there is none."""
    places, n = grid_of(column.index, step, str(column.name))
    values = np.full(n, np.nan)
    values[places] = column.to_numpy()
    start = column.index[0]
    return values, start if isinstance(step, str) else float(start)


def _complete(values: Floats, name: str, labels: pd.Index, gaps: Gaps) -> tuple[Floats, NDArray[np.bool_], int]:
    """Return values without a gap, which of them were there, and how many were cut off at the beginning."""
    seen = np.isfinite(values)
    if not seen.any():
        raise InputError(f"numbers in {name!r}", "none", "check the column")
    if (np.abs(values[seen]) > LARGEST).any():
        raise InputError(f"numbers up to {LARGEST:g} in {name!r}", "larger ones", "divide them by a power of ten")
    if gaps == "refuse" and not seen.all():
        first = labels[int(np.argmin(seen))]
        received = f"{(~seen).sum():,} gaps, the first at {first}"
        raise InputError(f"a value at every step of {name!r}", received, "set gaps='fill', or fill them as you see fit")
    low, high = int(np.argmax(seen)), len(seen) - int(np.argmax(seen[::-1]))
    last = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), 0))
    return values[last][low:high], seen[low:high], low
