"""Parquet files as one table that is read in pieces, each piece with the types the whole would have.

What a column becomes in memory may depend on all of its rows: whole numbers with a gap anywhere are floating-point
numbers. So types are settled from the footers, once, and every piece is brought to them; a value then reads the same
whatever the size of the row groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from gradus.core.errors import DataError, InputError
from gradus.data.files import must_exist
from gradus.data.records import flat, open_parquet

__all__ = ["PARQUET", "ParquetSource", "RowGroup", "is_parquet_folder", "parquet_files"]

PARQUET = (".parquet", ".pq")
# Rows decoded at once: enough that the work on a piece outweighs the calls, little beside any window.
PIECE = 1 << 15
# A row group of a million rows need not lie in memory compressed while it is read.
BUFFER_BYTES = 1 << 18
# What a missing or unknown text is taken to need, bytes, beside its characters.
TEXT_BYTES = 8.0


class RowGroup(NamedTuple):
    """One row group: its file, its number there, its rows, and how many rows lie before it in the whole."""

    path: Path
    number: int
    rows: int
    first: int


class _Leaf(NamedTuple):
    """What a footer says of one column of one row group."""

    rows: int
    nulls: int | None
    size: int
    longest: float


class ParquetSource:
    """One or several Parquet files with the same columns.

    Parameters
    ----------
    paths : path or sequence of paths
        Parquet files; a folder stands for the ``.parquet`` files in it, in the order of their names.

    Attributes
    ----------
    groups : list of RowGroup
        The row groups that hold rows, in order.
    n_rows : int
        Rows of all files.
    names : list of str
        The columns.
    row_bytes : float
        Bytes that a row takes in memory, estimated from types and the footers' sizes; nothing is read for it.

    Raises
    ------
    DataError
        If a file is missing or damaged, has two columns of one name, or the files' columns differ.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rows.parquet"
    ...     pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "y"]}).to_parquet(path, row_group_size=2)
    ...     source = ParquetSource(path)
    ...     [source.frame(table)["a"].tolist() for group in source.groups for table in source.pieces(group)]
    [[1, 2], [3]]
    """

    def __init__(self, paths: str | Path | Sequence[str | Path]) -> None:
        self.paths = parquet_files(paths)
        self.groups: list[RowGroup] = []
        self.n_rows = 0
        schemas: list[Any] = []
        leaves: list[list[_Leaf]] = []
        for path in self.paths:
            with open_parquet(path) as file:
                schema, metadata = file.schema_arrow, file.metadata
                _check_names(schema.names, schemas[0].names if schemas else schema.names, path)
                schemas.append(schema)
                for number in range(metadata.num_row_groups):
                    group = metadata.row_group(number)
                    if group.num_rows:
                        self.groups.append(RowGroup(path, number, group.num_rows, self.n_rows))
                        self.n_rows += group.num_rows
                        leaves.append(_leaves(schema, group))
        self.names: list[str] = schemas[0].names
        unified = _unified(schemas, self.paths)
        # The JSON text of nested values stands for them, as in memory.
        self._nested = {f.name for f in unified if _is_nested(f.type)}
        self._gaps = {name: self._has_gaps(unified, i, leaves) for i, name in enumerate(self.names)}
        self._schema = _settled(unified, self._gaps)
        self.row_bytes = sum(_bytes_of(f.type, [row[i] for row in leaves]) for i, f in enumerate(self._schema))
        self._flags = {f.name for f in self._schema if _is_flag(f.type) and self._gaps[f.name]}

    @property
    def n_bytes(self) -> int:
        """Bytes that all rows would take in memory."""
        return int(self.n_rows * self.row_bytes)

    def type_of(self, name: str) -> Any:
        """Return the Arrow type that a column has in every piece."""
        return self._schema.field(name).type

    def holds_bytes(self) -> bool:
        """Whether a column holds bytes, as those of encoded images."""
        import pyarrow.types as types

        def bytes_in(kind: Any) -> bool:
            if types.is_struct(kind):
                return any(bytes_in(kind.field(i).type) for i in range(kind.num_fields))
            return bool(types.is_binary(kind) or types.is_large_binary(kind))

        return any(bytes_in(field.type) for field in self._schema)

    def is_text(self, name: str) -> bool:
        """Whether a column holds text."""
        import pyarrow.types as types

        kind = self.type_of(name)
        return name in self._nested or bool(types.is_string(kind) or types.is_large_string(kind))

    def is_whole(self, name: str) -> bool:
        """Whether a column holds whole numbers, none of them missing."""
        import pyarrow.types as types

        return bool(types.is_integer(self.type_of(name)))

    def is_number(self, name: str) -> bool:
        """Whether a column holds numbers."""
        import pyarrow.types as types

        return self.is_whole(name) or bool(types.is_floating(self.type_of(name)))

    def pieces(self, group: RowGroup, columns: Sequence[str] | None = None, *, rows: int = PIECE) -> Iterator[Any]:
        """Yield the rows of a group in order, as Arrow tables of at most ``rows`` rows.

        Parameters
        ----------
        group : RowGroup
            One of ``groups``.
        columns : sequence of str or None
            The columns, in the order wanted; all by default.
        rows : int
            Rows a table, 1 or more.

        Raises
        ------
        DataError
            If the row group is damaged.
        """
        import pyarrow as pa

        names = list(self.names if columns is None else columns)
        wanted = pa.schema([self._schema.field(name) for name in names])
        try:
            with open_parquet(group.path, buffer_size=BUFFER_BYTES) as file:
                stored = list(dict.fromkeys(names))
                for batch in file.iter_batches(rows, row_groups=[group.number], columns=stored, use_threads=False):
                    table = pa.Table.from_batches([batch]).select(names)
                    yield table if table.schema.equals(wanted) else self._brought(table, wanted)
        except (pa.ArrowException, OSError) as error:
            where = f"row group {group.number} of {group.path.name}"
            raise DataError(f"a whole {where}", f"a damaged one ({error})", "write or fetch it again") from None

    def _brought(self, table: Any, wanted: Any) -> Any:
        """Cast what differs; the order matters: the text of a nested value is made by `frame`."""
        import pyarrow as pa

        columns = []
        for column, field in zip(table.columns, wanted, strict=True):
            same = column.type.equals(field.type)
            columns.append(column if same else column.cast(field.type, safe=False))
        return pa.table(columns, schema=wanted)

    def frame(self, table: Any) -> pd.DataFrame:
        """Return a piece as a frame of the types that the whole has in memory."""
        import pyarrow as pa

        frame = table.to_pandas(ignore_metadata=True)
        for name in frame.columns:
            if name in self._nested:
                texts = frame[name].astype(object).map(flat)
                frame[name] = pa.array(texts, pa.string(), from_pandas=True).to_pandas()
            elif name in self._flags:
                frame[name] = frame[name].astype(object)
        return frame

    def head(self, rows: int = 10_000) -> pd.DataFrame:
        """Return the first rows."""
        import pyarrow as pa

        tables, left = [], rows
        for group in self.groups if rows > 0 else ():
            for table in self.pieces(group, rows=min(rows, PIECE)):
                tables.append(table.slice(0, left))
                left -= len(tables[-1])
                if left <= 0:
                    return self.frame(pa.concat_tables(tables))
        return self.frame(pa.concat_tables(tables) if tables else self._schema.empty_table())

    def read(self) -> pd.DataFrame:
        """Return all rows."""
        import pyarrow as pa

        tables = [table for group in self.groups for table in self.pieces(group)]
        return self.frame(pa.concat_tables(tables) if tables else self._schema.empty_table())

    @property
    def nested(self) -> set[str]:
        """Columns of nested values, which are turned into text."""
        return set(self._nested)

    def _has_gaps(self, schema: Any, i: int, leaves: list[list[_Leaf]]) -> bool:
        """Whether a value of column ``i`` is missing; footers that do not say make it be read."""
        import pyarrow.types as types

        counts = [row[i].nulls for row in leaves]
        kind = schema.field(i).type
        if not (types.is_integer(kind) or types.is_boolean(kind)) or None not in counts:
            return any(counts)
        for group, count in zip(self.groups, counts, strict=True):
            if count or (count is None and self._reads_gap(group, self.names[i])):
                return True
        return False

    @staticmethod
    def _reads_gap(group: RowGroup, name: str) -> bool:
        with open_parquet(group.path) as file:
            return bool(file.read_row_group(group.number, columns=[name], use_threads=False).column(0).null_count)


def parquet_files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the files that paths stand for.

    Raises
    ------
    DataError
        If one does not exist, or a folder holds no ``.parquet`` file.
    """
    found: list[Path] = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        must_exist(path)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PARQUET and not p.name.startswith("."))
            if not inside:
                raise DataError(f"Parquet files in {str(path)!r}", "none", "check the path")
            found.extend(inside)
        else:
            found.append(path)
    if not found:
        raise InputError("at least one Parquet file", "none", "pass a path")
    return found


def is_parquet_folder(path: Path) -> bool:
    """Whether a folder holds Parquet files and no folders, which could be classes of images."""
    if not path.is_dir():
        return False
    inside = [p for p in path.iterdir() if not p.name.startswith((".", "_"))]
    return any(p.suffix.lower() in PARQUET for p in inside) and not any(p.is_dir() for p in inside)


def _check_names(names: list[str], known: list[str], path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        shown = ", ".join(map(repr, twice))
        raise DataError(f"different column names in {path.name}", f"{shown} more than once", "rename one")
    if names != known:
        raise DataError(f"the same columns in {path.name}", "others", "stream such files apart")


def _unified(schemas: list[Any], paths: list[Path]) -> Any:
    """Return one schema that all files can be brought to, dictionaries written out."""
    import pyarrow as pa

    plain = [
        pa.schema([pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema])
        for schema in schemas
    ]
    unified = plain[0]
    for schema, path in zip(plain[1:], paths[1:], strict=True):
        try:
            unified = pa.unify_schemas([unified, schema], promote_options="permissive")
        except pa.ArrowException:
            other = next(f for f in schema if not f.type.equals(unified.field(f.name).type))
            received = f"{other.type} where it was {unified.field(other.name).type}"
            mend = "write them with one type"
            raise DataError(f"column {other.name!r} of one type in {path.name}", received, mend) from None
    return unified


def _settled(schema: Any, gaps: dict[str, bool]) -> Any:
    """Return the types columns have in memory: decimals and whole numbers with gaps as floating-point numbers."""
    import pyarrow as pa

    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_decimal(kind) or (pa.types.is_integer(kind) and gaps[field.name]):
            kind = pa.float64()
        elif pa.types.is_date(kind):
            kind = pa.timestamp("ms")
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _is_nested(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_nested(kind) or types.is_time(kind))


def _is_flag(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_boolean(kind))


def _leaves(schema: Any, group: Any) -> list[_Leaf]:
    """Sum up what the footer says of each column; a nested one is stored as several."""
    found, at = [], 0
    for field in schema:
        stored = [group.column(at + k) for k in range(_n_leaves(field.type))]
        at += len(stored)
        nulls: int | None = 0
        longest = 0.0
        for column in stored:
            known = column.statistics
            known_nulls = None if known is None or not known.has_null_count else known.null_count
            nulls = None if nulls is None or known_nulls is None else nulls + known_nulls
            if known is not None and known.has_min_max and isinstance(known.min, str | bytes):
                longest += (len(known.min) + len(known.max)) / 2
        found.append(_Leaf(group.num_rows, nulls, sum(c.total_uncompressed_size for c in stored), longest))
    return found


def _n_leaves(kind: Any) -> int:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return _n_leaves(kind.value_type)
    if types.is_nested(kind):
        return sum(_n_leaves(kind.field(i).type) for i in range(kind.num_fields))
    return 1


def _bytes_of(kind: Any, leaves: list[_Leaf]) -> float:
    """Return the bytes a value takes in memory.

    A footer tells the size of text as it is stored, which repeated words make far smaller than it is in memory; the
    first and last of its words tell how long they are.
    """
    try:
        return float(max(8, kind.bit_width)) / 8
    except ValueError:  # a type without a fixed width
        rows = sum(leaf.rows for leaf in leaves) or 1
        stored = sum(leaf.size for leaf in leaves) / rows
        words = sum(leaf.rows * leaf.longest for leaf in leaves) / rows
        return TEXT_BYTES + max(stored, words)
