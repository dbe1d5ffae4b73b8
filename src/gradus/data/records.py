"""JSON-lines and Parquet: damaged lines and files named, nested values said to be so."""

from __future__ import annotations

import decimal
import json
from pathlib import Path
from typing import Any

import pandas as pd

from gradus.core.errors import DataError
from gradus.core.storage import memory_limit
from gradus.data.dataset import Note
from gradus.data.files import read_text

__all__ = ["check_fits", "flat", "open_parquet", "read_json_lines", "read_parquet"]


def read_json_lines(path: Path) -> tuple[pd.DataFrame, list[Note]]:
    """Read a file of one JSON object a line, packed or not; blank lines are skipped.

    Raises
    ------
    DataError
        If a line is no JSON object; the message gives its number.
    """
    data, notes = read_text(path)
    records: list[dict[str, Any]] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            what = getattr(error, "msg", None) or str(error) or type(error).__name__
            raise DataError(
                f"one JSON object a line in {path.name}", f"line {number}: {what}", "correct that line"
            ) from None
        if not isinstance(record, dict):
            raise DataError(
                f"one JSON object a line in {path.name}",
                f"line {number}, a {type(record).__name__}",
                "write each row as {...} on its own line",
            )
        records.append(record)
    frame = pd.DataFrame(records)
    return frame, notes + _flatten(frame)


def open_parquet(path: Path, *, buffer_size: int = 0) -> Any:
    """Open a Parquet file's footer as a `pyarrow.parquet.ParquetFile`.

    Parameters
    ----------
    path : Path
        The file.
    buffer_size : int
        Bytes of a column to fetch at once; 0 fetches all of a row group's.

    Raises
    ------
    DataError
        If the file is no Parquet or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, buffer_size=buffer_size, pre_buffer=not buffer_size)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    what = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(f"a whole Parquet file in {path.name}", f"a damaged one ({what})", "write or fetch it again")


def check_fits(path: Path, rows: int, columns: int) -> None:
    """Raise a ``DataError`` if a table cannot be held in memory.

    A few bytes of run lengths can stand for billions of rows, so these are counted before any is read.
    """
    if rows * max(columns, 1) * 8 > memory_limit() // 2:
        raise DataError(
            f"{path.name} to fit in memory",
            f"{rows:,} rows of {columns} columns",
            "stream it with gradus.data.streaming.ParquetBatches",
        )


def read_parquet(path: Path) -> tuple[pd.DataFrame, list[Note]]:
    """Read a Parquet file that fits in memory.

    Raises
    ------
    DataError
        If the file is damaged, has two columns of one name, or its rows would not fit in memory.
    """
    import pyarrow as pa

    source = open_parquet(path)
    with source:
        names, rows = source.schema_arrow.names, source.metadata.num_rows
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            shown = ", ".join(map(repr, twice))
            raise DataError(f"different column names in {path.name}", f"{shown} more than once", "rename one")
        check_fits(path, rows, len(names))
        try:
            frame = source.read(use_threads=False).to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(path, error) from None
    frame.columns = [str(name) for name in frame.columns]
    return frame, _flatten(frame)


def _flatten(frame: pd.DataFrame) -> list[Note]:
    """Make every column one of plain values, in place; nested ones become JSON text, with a note."""
    notes = []
    for name in frame.columns:
        series = frame[name]
        if isinstance(series.dtype, pd.CategoricalDtype):
            frame[name] = series.astype(series.cat.categories.dtype if not series.isna().any() else object)
            continue
        if series.dtype != object:
            continue
        kinds = {type(value) for value in series.dropna()}
        if decimal.Decimal in kinds:
            frame[name] = series.astype(float)
        elif kinds and all(kind.__module__ == "datetime" and kind.__name__ == "date" for kind in kinds):
            frame[name] = pd.to_datetime(series)
        elif kinds - {str, bool, int, float, bytes} and not _is_image_column(kinds, series):
            frame[name] = series.map(flat)
            notes.append(Note(f"column {name!r}", "nested values were turned into text", int(series.notna().sum())))
    return notes


def _is_image_column(kinds: set[type], series: pd.Series) -> bool:
    """Whether these are images as `datasets` writes them: structs of bytes and path."""
    return kinds == {dict} and "bytes" in series.dropna().iloc[0]


def flat(value: Any) -> Any:
    """Return a value of a nested column as JSON text; missing and plain values stay.

    Examples
    --------
    >>> flat({"b": 1, "a": [2]}), flat(None), flat("as it is")
    ('{"a": [2], "b": 1}', None, 'as it is')
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return json.dumps(value, default=_jsonable, sort_keys=True)


def _jsonable(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
