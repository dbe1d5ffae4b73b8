"""What each column of a table is: number, category, date, boolean, text, identifier, constant or empty."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from gradus.data.dataset import brief

__all__ = ["Column", "are_codes", "date_format", "infer_columns", "looks_like_classes", "parse_dates"]

Kind = Literal["number", "category", "date", "boolean", "text", "identifier", "constant", "empty"]

# Day-first and month-first forms with slashes are both tried; where both fit, neither is taken.
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y",
)
DATE_SHARE = 0.95
BOOLEAN_PAIRS = ({"yes", "no"}, {"true", "false"}, {"y", "n"}, {"t", "f"}, {"on", "off"})
ID_NAME = re.compile(r"(^|[_\-. ])(id|uuid|guid|key|idx)$|[a-z]I[dD]$|^(index|rownum|row_number|unnamed: 0)$", re.I)
MANY_CATEGORIES = 1000


@dataclass(frozen=True)
class Column:
    """What a column was taken to be.

    Parameters
    ----------
    name : str
        The column's name.
    kind : str
        number, category, date, boolean, text, identifier, constant or empty.
    n_missing : int
        Rows without a value.
    n_unique : int
        Different values, missing ones not counted.
    why : str
        The reason, for the user who wants to overrule it.
    """

    name: str
    kind: Kind
    n_missing: int
    n_unique: int
    why: str


def infer_columns(frame: pd.DataFrame) -> list[Column]:
    """Say what each column is, and why.

    Parameters
    ----------
    frame : DataFrame
        A table, rows by columns; its values are looked at, never changed.

    Returns
    -------
    list of Column
        One for each column, in order.

    Examples
    --------
    >>> table = pd.DataFrame({"when": ["2024-01-31", "2024-02-01"], "paid": ["yes", "no"], "sum": [1.5, 2.0]})
    >>> [(c.name, c.kind) for c in infer_columns(table)]
    [('when', 'date'), ('paid', 'boolean'), ('sum', 'number')]
    """
    return [_infer(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]


def _infer(name: str, series: pd.Series) -> Column:
    present = series.dropna()
    n_missing = len(series) - len(present)
    if not len(present):
        return Column(name, "empty", n_missing, 0, "no row has a value")
    if present.dtype == object:
        present = present.map(lambda v: v if isinstance(v, bool | int | float | str) else str(v))
    unique = pd.Series(present.unique())
    n_unique = len(unique)
    if n_unique == 1 and not n_missing:
        return Column(name, "constant", 0, 1, f"every row has {brief(unique)}")
    kind, why = _by_values(name, present, unique)
    return Column(name, kind, n_missing, n_unique, why)


def _by_values(name: str, present: pd.Series, unique: pd.Series) -> tuple[Kind, str]:
    if pd.api.types.is_datetime64_any_dtype(present.dtype):
        return "date", "stored as dates"
    if pd.api.types.is_bool_dtype(present.dtype) or unique.map(lambda v: isinstance(v, bool | np.bool_)).all():
        return "boolean", "true or false"
    if pd.api.types.is_numeric_dtype(present.dtype):
        return _numeric(name, present, unique)
    if unique.map(lambda v: isinstance(v, int | float)).all():
        return _numeric(name, pd.to_numeric(present), pd.to_numeric(unique))
    texts = unique.astype(str).str.strip()
    if are_codes(texts):
        kind, why = _textual(present, texts)
        return kind, f"codes of digits, some with leading zeros; {why}"
    if pd.to_numeric(texts, errors="coerce").notna().all():
        return "number", "numbers stored as text"
    if len(texts) <= 2 and any(set(texts.str.lower()) <= pair for pair in BOOLEAN_PAIRS):
        return "boolean", f"only {' and '.join(sorted(texts))}"
    form = date_format(present)
    if form is not None:
        return "date", f"written as {form}"
    return _textual(present, texts)


def are_codes(values: Any) -> bool:
    """Tell whether a column's values are codes, such as postal ones: digits only, some with a leading zero.

    As numbers they would lose their zeros, and with them the difference between ``07`` and ``7``. Missing values are
    left aside; a column stored as numbers has no codes.

    Examples
    --------
    >>> are_codes(["01234", "98765", None]), are_codes(["0", "12"]), are_codes(["01.5", "12"]), are_codes([7, 12])
    (True, False, False, False)
    """
    series = pd.Series(values).dropna()
    if pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_datetime64_any_dtype(series.dtype):
        return False
    unique = pd.Series(series.unique(), dtype=object)
    if not len(unique) or not unique.map(lambda v: isinstance(v, str)).all():
        return False
    texts = unique.str.strip()
    return bool(texts.str.fullmatch("[0-9]+").all() and texts.str.fullmatch("0[0-9]+").any())


def _numeric(name: str, present: pd.Series, unique: pd.Series) -> tuple[Kind, str]:
    if len(unique) == 2 and set(unique.astype(float)) == {0.0, 1.0}:
        return "boolean", "only 0 and 1"
    values = present.to_numpy(dtype=float)
    whole = bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    if whole and ID_NAME.search(name) and len(unique) > len(present) / 2 and len(present) >= 20:
        return "identifier", "its name says so and most values occur once"
    if whole and len(values) >= 20 and values[0] in (0, 1) and bool((np.diff(values) == 1).all()):
        return "identifier", "it counts the rows"
    return "number", "whole numbers" if whole else "numbers"


def _textual(present: pd.Series, texts: pd.Series) -> tuple[Kind, str]:
    n_unique, n = len(texts), len(present)
    words = float(texts.str.split().str.len().mean())
    if (words >= 5 or texts.str.len().mean() > 40) and n_unique > max(20, n / 10):
        return "text", f"{words:.0f} words a row on average"
    if n_unique >= 0.95 * n and n >= 20:
        return "identifier", "nearly every row has its own value"
    if n_unique > MANY_CATEGORIES:
        return "category", f"high cardinality: {n_unique:,} different values"
    return "category", f"{n_unique} different values"


def date_format(values: pd.Series) -> str | None:
    """Return the one format in which at least 95 % of the present values are dates, or ``None``.

    A format is taken only when it is unambiguous: dates that read both as day/month and month/day are left
    alone.

    Examples
    --------
    >>> date_format(pd.Series(["31.12.2023", "01.01.2024"]))
    '%d.%m.%Y'
    >>> date_format(pd.Series(["03/04/2024", "05/06/2024"])) is None
    True
    """
    texts = pd.Series(values).dropna().astype(str).str.strip()
    sample = texts.iloc[:: max(1, len(texts) // 200)]
    if not len(sample) or not sample.str.contains(r"^\d{1,4}[-/.]\d", regex=True).mean() >= DATE_SHARE:
        return None
    fits = [f for f in DATE_FORMATS if _dates(sample, f).notna().mean() >= DATE_SHARE]
    fits = [f for f in fits if _dates(texts, f).notna().mean() >= DATE_SHARE]
    if len(fits) > 1 and any("/%m/%Y" in f or f.startswith("%m/") for f in fits):
        return None
    return fits[0] if fits else None


def _dates(texts: pd.Series, form: str) -> pd.Series:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return pd.to_datetime(texts, format=form, errors="coerce", utc="%z" in form, exact=True)


def parse_dates(series: pd.Series) -> pd.Series:
    """Return a date column as datetimes without a zone (UTC), values that are no dates as missing.

    Parameters
    ----------
    series : Series
        Datetimes, or text in one of the formats that `date_format` knows.

    Raises
    ------
    InputError
        If the column is not one of dates.

    Examples
    --------
    >>> parse_dates(pd.Series(["2024-01-31", None])).dt.year.tolist()
    [2024.0, nan]
    """
    if not pd.api.types.is_datetime64_any_dtype(series.dtype):
        form = date_format(series)
        if form is None:
            from gradus.core.errors import InputError

            example = next(iter(series.dropna()), None)
            raise InputError(
                f"dates in column {series.name!r}", f"values such as {example!r}", "write them as 2024-01-31"
            )
        series = _dates(series.astype(object).map(lambda v: v.strip() if isinstance(v, str) else v), form)
    return series.dt.tz_convert("UTC").dt.tz_localize(None) if series.dt.tz is not None else series


def looks_like_classes(y: Any) -> bool:
    """Tell whether a target's values look like classes rather than quantities.

    Text, categories and booleans are classes; whole numbers are when there are at most 30 different ones,
    close together if more than ten, and on average five rows of each.

    Examples
    --------
    >>> looks_like_classes(np.array(["cat", "dog"])), looks_like_classes(np.linspace(0.0, 1.0, 50))
    (True, False)
    """
    series = pd.Series(y).dropna()
    if pd.api.types.is_bool_dtype(series.dtype):
        return True
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return False
    if not pd.api.types.is_numeric_dtype(series.dtype):
        return True
    values = series.to_numpy(dtype=float)
    whole = bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    if not whole:
        return False
    unique = np.unique(values)
    dense = len(unique) <= 10 or (len(unique) <= 30 and unique[-1] - unique[0] < 2 * len(unique))
    return bool(dense and (len(values) >= 5 * len(unique) or len(unique) <= 2))
