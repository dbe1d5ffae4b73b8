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

__all__ = ["open_parquet", "read_json_lines", "read_parquet"]


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


def open_parquet(path: Path) -> Any:
    """Open a Parquet file's footer as a `pyarrow.parquet.ParquetFile`.

    Raises
    ------
    DataError
        If the file is no Parquet or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    what = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(f"a whole Parquet file in {path.name}", f"a damaged one ({what})", "write or fetch it again")


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
        # A few bytes of run lengths can stand for billions of rows, so these are counted before any is read.
        if rows * max(len(names), 1) * 8 > memory_limit() // 2:
            raise DataError(
                f"{path.name} to fit in memory",
                f"{rows:,} rows of {len(names)} columns",
                "stream it with gradus.data.streaming.ParquetBatches",
            )
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
            frame[name] = series.map(_flat)
            notes.append(Note(f"column {name!r}", "nested values were turned into text", int(series.notna().sum())))
    return notes


def _is_image_column(kinds: set[type], series: pd.Series) -> bool:
    """Whether these are images as `datasets` writes them: structs of bytes and path."""
    return kinds == {dict} and "bytes" in series.dropna().iloc[0]


def _flat(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return json.dumps(value, default=_jsonable, sort_keys=True)


def _jsonable(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
