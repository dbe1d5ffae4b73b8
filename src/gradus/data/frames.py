"""From columns as people write them to numbers and words: what every model of tables reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.core.errors import InputError
from gradus.data.columns import parse_dates

__all__ = ["DATE_PARTS", "as_frame", "as_number", "as_text", "date_parts"]

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
    """Return a column as strings, empty where a value is missing."""
    texts = column.astype(object)
    return texts.where(texts.notna(), "").map(str).to_numpy(dtype=object)


def date_parts(column: pd.Series) -> dict[str, NDArray[np.float64]]:
    """Return days since 2000, month and weekday of a column of dates, NaN where missing."""
    if not column.notna().any():
        return {part: np.full(len(column), np.nan) for part in DATE_PARTS}
    dates = parse_dates(column)
    days = (dates - pd.Timestamp("2000-01-01")) / pd.Timedelta(days=1)
    parts = {"days": days, "month": dates.dt.month, "weekday": dates.dt.dayofweek}
    return {name: part.to_numpy(dtype=np.float64, na_value=np.nan) for name, part in parts.items()}
