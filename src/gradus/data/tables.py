"""From a frame to a data set: target found, useless rows and columns dropped, and a note on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradus.core.errors import DataError, nearest
from gradus.core.numbers import LARGEST
from gradus.data.columns import (
    MANY_CATEGORIES,
    are_codes,
    date_format,
    infer_columns,
    looks_like_classes,
    parse_dates,
)
from gradus.data.dataset import Dataset, Note, brief
from gradus.data.fingerprint import row_hashes

__all__ = [
    "LARGEST",
    "TARGET_NAMES",
    "clean_columns",
    "clean_labels",
    "guess_target",
    "no_column",
    "table_dataset",
    "without_values_beyond",
]

TARGET_NAMES = (
    "target",
    "label",
    "labels",
    "class",
    "y",
    "outcome",
    "diagnosis",
    "species",
    "classes",
    "churn",
    "survived",
    "sale_price",
    "saleprice",
)


def table_dataset(
    frame: pd.DataFrame,
    *,
    name: str,
    origin: str,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    group: str | None = None,
    time: str | None = None,
    require_target: bool = True,
    written: bool = False,
    notes: Sequence[Note] = (),
) -> Dataset:
    """Turn a frame into a `Dataset`.

    Parameters
    ----------
    frame : DataFrame
        Rows by columns, the target among them.
    name, origin : str
        What to call it and where it came from.
    target : str or None
        The target's column; guessed, with a note, where one is required.
    columns : sequence of str or None
        The columns to use as inputs; all by default.
    group : str or None
        A column whose equal values stay on one side of a split; it is no input.
    time : str or None
        A column of dates or numbers to split by; it stays an input.
    require_target : bool
        Data to learn from (guess the target, clean up) rather than to predict (leave every row and column).
    written : bool
        The target is text to be written, not classes to choose from; one of many words is taken so anyway.
    notes : sequence of Note
        What reading has noted so far.

    Raises
    ------
    DataError
        If there is no row, too few columns, no such column, or a target that nothing can be learned from.
    """
    notes = list(notes)
    frame = frame.rename(columns=str).reset_index(drop=True)
    if not len(frame):
        raise DataError("rows", f"none in {name}", "check how it was written")
    for role in (target, group, time, *(columns or ())):
        if role is not None and role not in frame.columns and (require_target or role not in (target, group, time)):
            raise no_column(role, frame, name)
    for option, role in (("--group", group), ("--time", time)):
        if role is not None and role == target and require_target:
            raise DataError(f"a column for {option} beside the target", repr(role), "name another column")
    if not require_target:
        target, group, time = (role if role in frame.columns else None for role in (target, group, time))
    else:
        if frame.shape[1] < 2:
            raise DataError(
                "inputs and a target",
                f"one column, {str(frame.columns[0])!r}, in {name}",
                "add columns, or check the delimiter",
            )
        if target is None:
            target, note = guess_target(frame, excluded=(group, time))
            notes.append(note)
        frame = _settle_codes(_trimmed(frame, target, notes), target, notes)
        written = written or infer_columns(frame[[target]])[0].kind == "text"
        frame = _clean_rows(frame, target, name, notes, written)
    return _assemble(frame, name, origin, target, columns, group, time, require_target, notes)


def _assemble(
    frame: pd.DataFrame,
    name: str,
    origin: str,
    target: str | None,
    columns: Sequence[str] | None,
    group: str | None,
    time: str | None,
    require_target: bool,
    notes: list[Note],
) -> Dataset:
    y = frame[target] if target else None
    groups = _codes(frame[group], group) if group else None
    order = _time_values(frame[time]) if time else None
    X = frame.drop(columns=[role for role in (target, group) if role])
    if group:
        notes.append(Note(f"column {group!r}", "says which rows belong together; it is no input"))
    if columns is not None:
        kept = [column for column in columns if column not in (target, group)]
        left = X.shape[1] - len(kept)
        if left:
            notes.append(Note("columns", "left out: they are not among the columns asked for", left))
        X = X[kept]
    X = without_values_beyond(np.finfo(np.float64).max, X, notes)
    if require_target:
        found = X.shape[1]
        X = clean_columns(X, notes)
        if not X.shape[1]:
            received = f"only empty ones in {name}" if found else f"none in {name} beside the target"
            raise DataError("at least one column of inputs", received, "add columns")
        if all(X[column].nunique(dropna=False) == 1 for column in X.columns):
            received = f"the same values in every row of {name}"
            raise DataError("inputs that differ between rows", received, "add columns that tell the rows apart")
        _report_duplicates(X, notes)
    data = Dataset(
        name=name,
        kind="table",
        X=X,
        y=y,
        target=target,
        notes=tuple(notes),
        origin=origin,
        groups=groups,
        time=order,
    )
    return data


def without_values_beyond(limit: float, X: pd.DataFrame, notes: list[Note]) -> pd.DataFrame:
    """Return the table with numbers beyond a limit as missing values, and add a note on each column with some.

    Examples
    --------
    >>> notes = []
    >>> without_values_beyond(1e36, pd.DataFrame({"size": [1.0, 1e300]}), notes)["size"].tolist()
    [1.0, nan]
    >>> print(notes[0])
    column 'size': values beyond 1e36 in size were taken as missing
    """
    for column in X.columns:
        if not pd.api.types.is_float_dtype(X[column].dtype):
            continue
        values = X[column].to_numpy(dtype=float, na_value=np.nan)
        beyond = np.abs(values) > limit
        if beyond.any():
            X = X.assign(**{column: X[column].where(~beyond)})
            finite = np.isfinite(values[beyond]).any()
            what = f"values beyond {limit:.0e} in size".replace("+", "") if finite else "infinite values"
            notes.append(Note(f"column {column!r}", f"{what} were taken as missing", int(beyond.sum())))
    return X


def _trimmed(frame: pd.DataFrame, target: str, notes: list[Note]) -> pd.DataFrame:
    """Take spaces away from around the target's words, where they make two classes of one by accident."""
    words = frame[target]
    if pd.api.types.is_numeric_dtype(words.dtype) or not words.map(lambda v: isinstance(v, str)).any():
        return frame
    trimmed = words.astype(object).map(lambda v: (v.strip() or None) if isinstance(v, str) else v)
    changed = int((words.notna() & (trimmed != words)).sum())
    if not changed:
        return frame
    notes.append(Note(f"target {target!r}", "spaces around its values were taken away", changed))
    return frame.assign(**{target: trimmed})


def _settle_codes(frame: pd.DataFrame, target: str, notes: list[Note]) -> pd.DataFrame:
    """Take a target of digits with leading zeros for classes, or for numbers where they are too many for classes."""
    if not are_codes(frame[target]):
        return frame
    numbers = pd.to_numeric(frame[target])
    if looks_like_classes(numbers):
        notes.append(Note(f"target {target!r}", "kept as text: leading zeros make its values codes, which are classes"))
        return frame
    notes.append(Note(f"target {target!r}", "read as numbers in spite of leading zeros: too many values for classes"))
    return frame.assign(**{target: numbers})


def no_column(column: str, frame: pd.DataFrame, name: str) -> DataError:
    """Return the error that a table has no such column, with the nearest one there is."""
    names = [str(c) for c in frame.columns]
    lower = [c for c in names if c.lower() == column.lower()]
    hint = f"did you mean {lower[0]!r}? " if lower else nearest(column, names)
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return DataError(f"one of the columns of {name}", repr(column), f"{hint}there are: {shown}")


def guess_target(frame: pd.DataFrame, excluded: Sequence[str | None] = ()) -> tuple[str, Note]:
    """Guess the target's column by its name, else take the last that is no date, identifier or text.

    Examples
    --------
    >>> guess_target(pd.DataFrame({"Class": [1], "size": [2]}))[0]
    'Class'
    """
    names = [str(c) for c in frame.columns if c not in excluded]
    by_lower = {name.lower(): name for name in reversed(names)}
    for candidate in TARGET_NAMES:
        if candidate in by_lower:
            found = by_lower[candidate]
            return found, Note("target", f"guessed: {found!r}, by its name; --target names another")
    for found in reversed(names):
        if infer_columns(frame[[found]])[0].kind in ("number", "category", "boolean"):
            break
    else:
        found = names[-1]
    place = "the last column" + ("" if found == names[-1] else " that is no date, identifier or text")
    return found, Note("target", f"guessed: {found!r}, {place}; --target names another")


def _clean_rows(frame: pd.DataFrame, target: str, name: str, notes: list[Note], written: bool) -> pd.DataFrame:
    y = frame[target]
    missing = y.isna()
    if pd.api.types.is_float_dtype(y.dtype):
        missing |= np.isinf(y.to_numpy(dtype=float, na_value=np.nan))
    if missing.all():
        raise DataError(f"values in the target {target!r}", f"none in {name}", "name another column as the target")
    keep = ~missing.to_numpy()
    if missing.any():
        why = f"dropped: {target!r} is missing there"
        notes.append(Note("rows without a target", why, int(missing.sum())))
    if written:
        return frame if keep.all() else frame[keep].reset_index(drop=True)
    single, note = clean_labels(y[keep], target, name)
    if note is not None:
        notes.append(note)
        keep[np.flatnonzero(keep)[single]] = False
    return frame if keep.all() else frame[keep].reset_index(drop=True)


def clean_labels(y: Any, target: str, name: str) -> tuple[np.ndarray, Note | None]:
    """Find the rows whose class has no other row.

    Returns
    -------
    tuple of array and Note or None
        True for each row to drop, shape (n,), and the note on them.

    Raises
    ------
    DataError
        If the target has one value only, or nearly every row a class of its own.
    """
    series = pd.Series(np.asarray(y, dtype=object)) if not isinstance(y, pd.Series) else y.reset_index(drop=True)
    counts = series.value_counts()
    if len(counts) < 2:
        raise DataError(
            f"different values in the target {target!r}",
            f"only {brief(counts.index)} in {name}",
            "name another column as the target, or add rows of another class",
        )
    none = np.zeros(len(series), dtype=bool)
    if not looks_like_classes(y):
        return none, None
    lonely = counts.index[counts == 1]
    if not len(lonely):
        return none, None
    if len(counts) - len(lonely) < 2 or len(lonely) > len(series) / 2:
        if date_format(series) is not None:
            mend = "add a column of numbers made of them, such as days since the first"
            raise DataError(f"classes or numbers in the target {target!r}", "dates", mend)
        raise DataError(
            f"classes of two rows or more in the target {target!r}",
            f"{len(lonely)} of {len(counts)} classes with a single row in {name}",
            "name another column as the target, or add rows",
        )
    rows = series.isin(lonely).to_numpy()
    why = f"dropped: one row can be learned from or tested on, not both ({brief(sorted(map(str, lonely)))})"
    return rows, Note("classes of a single row", why, int(rows.sum()))


def clean_columns(X: pd.DataFrame, notes: list[Note]) -> pd.DataFrame:
    """Drop the columns that tell nothing, and add notes on what was dropped and what is odd."""
    for column in list(X.columns):
        series = X[column]
        if series.isna().all():
            X = X.drop(columns=column)
            notes.append(Note(f"column {column!r}", "dropped: no row has a value"))
        elif column == "Unnamed: 0" and np.array_equal(series.to_numpy(), np.arange(len(X))):
            X = X.drop(columns=column)
            notes.append(Note("first column", "dropped: it has no name and counts the rows"))
    for column in X.columns:
        if are_codes(X[column]):
            zeros = X[column].astype(object).str.strip().str.fullmatch("0[0-9]+").fillna(False).astype(bool)
            first = brief(X[column][zeros].iloc[:1])
            why = f"kept as text: leading zeros, as in {first}, make its values codes, not numbers"
            notes.append(Note(f"column {column!r}", why, int(zeros.sum())))
    many = [
        str(c)
        for c in X.columns
        if not pd.api.types.is_numeric_dtype(X[c].dtype)
        and X[c].nunique() > MANY_CATEGORIES
        and infer_columns(X[[c]])[0].kind != "date"
    ]
    if many:
        counts = ", ".join(f"{c!r} has {X[c].nunique():,}" for c in many[:3]) + (", ..." if len(many) > 3 else "")
        why = f"kept, with high cardinality: {counts} different values in {len(X):,} rows"
        notes.append(Note("columns of many values", why, len(many)))
    constant = [str(c) for c in X.columns if X[c].nunique(dropna=False) == 1]
    if constant:
        notes.append(Note("constant columns", f"kept, but they tell nothing: {brief(constant)}", len(constant)))
    return X


def _report_duplicates(X: pd.DataFrame, notes: list[Note]) -> None:
    hashes = row_hashes(X)
    repeated = len(hashes) - len(np.unique(hashes))
    if repeated:
        why = "kept: their inputs equal those of an earlier row; a split keeps equal rows on one side"
        notes.append(Note("duplicate rows", why, repeated))


def _codes(series: pd.Series, column: str | None) -> np.ndarray:
    """Return groups under their own names; a row whose group is missing cannot be placed."""
    if series.isna().any():
        raise DataError(
            f"a group in every row of {column!r}",
            f"{int(series.isna().sum())} missing",
            "fill or drop those rows",
        )
    values = series.to_numpy()
    return values if values.dtype.kind in "biuf" else values.astype(str)


def _time_values(series: pd.Series) -> np.ndarray:
    if series.isna().any():
        raise DataError(
            f"a time in every row of {series.name!r}",
            f"{int(series.isna().sum())} missing",
            "fill or drop those rows",
        )
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy()
    if are_codes(series) and date_format(series) is None:  # hours, months or years padded with zeros
        return pd.to_numeric(series).to_numpy()
    times = parse_dates(series)
    if times.isna().any():
        bad = series[times.isna()].iloc[0]
        raise DataError(f"dates in every row of {series.name!r}", f"{bad!r} among them", "correct those rows")
    return times.to_numpy()
