"""From columns as people write them to numbers and words: what every model of tables reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.core.errors import InputError
from gradus.data.columns import date_format, parse_dates

__all__ = ["DATE_PARTS", "as_frame", "as_number", "as_text", "date_parts", "written_as"]

TRUTH = {"yes": 1, "no": 0, "true": 1, "false": 0, "y": 1, "n": 0, "t": 1, "f": 0, "on": 1, "off": 0}
DATE_PARTS = ("days", "month", "weekday")


def as_frame(X: Any) -> pd.DataFrame:
    """Return a frame with text column names; an array of shape (rows, columns) gets the names x0, x1, ...

    Raises
    ------
    InputError
        If there are not two axes.
    """
    if isinstance(X, pd.DataFrame):
        if all(isinstance(c, str) for c in X.columns):
            return X
        return X.set_axis([str(c) for c in X.columns], axis=1)
    array = np.asarray(X)
    if array.ndim != 2:
        raise InputError("a table of rows and columns", f"shape {array.shape}", "use X.reshape(len(X), -1)")
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def as_number(column: pd.Series) -> NDArray[np.float64]:
    """Return a column as float64, NaN where a value is missing, infinite or no number; yes and true are 1.

    Examples
    --------
    >>> as_number(pd.Series(["1.5", "yes", None, "?"]))
    array([1.5, 1. , nan, nan])
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        texts = column.astype(object).map(lambda v: TRUTH.get(str(v).strip().lower(), v), na_action="ignore")
        values = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def as_text(column: pd.Series) -> NDArray[Any]:
    """Return a column as strings, empty where a value is missing.

    Whole numbers are written without a point: with gaps in it, a column of them comes as floats.

    Examples
    --------
    >>> as_text(pd.Series([12345.0, None, 1.5])).tolist()
    ['12345', '', '1.5']
    """
    texts = column.astype(object)
    if pd.api.types.is_float_dtype(column.dtype):
        texts = texts.map(_written, na_action="ignore")
    return texts.where(texts.notna(), "").map(str).to_numpy(dtype=object)


def _written(number: float) -> str:
    whole = float(number).is_integer() and abs(number) < 2**53
    return str(int(number)) if whole else str(number)


def written_as(column: pd.Series) -> str | None:
    """Return the format of a column of dates, or None where they are stored as dates."""
    return None if pd.api.types.is_datetime64_any_dtype(column.dtype) else date_format(column)


def date_parts(column: pd.Series, form: str | None = None) -> dict[str, NDArray[np.float64]]:
    """Return days since 2000, month and weekday of a column of dates, NaN where missing or unreadable.

    Parameters
    ----------
    column : Series
        Dates, or text.
    form : str, optional
        The training rows' format by `written_as`: a few new rows may fit several, or be no dates at all.
    """
    if form is not None and not pd.api.types.is_datetime64_any_dtype(column.dtype):
        texts = column.astype(object).map(lambda v: str(v).strip(), na_action="ignore")
        column = pd.to_datetime(texts, format=form, errors="coerce", utc="%z" in form)
    if not column.notna().any():
        return {part: np.full(len(column), np.nan) for part in DATE_PARTS}
    dates = parse_dates(column)
    days = (dates - pd.Timestamp("2000-01-01")) / pd.Timedelta(days=1)
    parts = {"days": days, "month": dates.dt.month, "weekday": dates.dt.day_of_week}
    return {name: part.to_numpy(dtype=np.float64, na_value=np.nan) for name, part in parts.items()}
