"""Parquet files in pieces: the types of the whole in every piece, sizes told from footers, folders as one table."""

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradus.core.errors import DataError
from gradus.data.parquet import ParquetSource, is_parquet_folder
from gradus.data.reading import larger_than, read
from gradus.data.records import read_parquet

N = 240


def frame_of_all_kinds():
    """Gaps lie in the last rows only, so that most row groups have none."""
    late = np.arange(N) >= N - 3
    rng = np.random.default_rng(0)
    columns = {
        "whole": pa.array(np.arange(N)),
        "gap": pa.array(np.arange(N), mask=late),
        "flag": pa.array(np.arange(N) % 2 == 0, mask=late),
        "number": pa.array(rng.normal(size=N)),
        "word": pa.array([f"word {i % 7}" for i in range(N)]).dictionary_encode(),
        "day": pa.array([dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(N)], mask=late),
        "moment": pa.array(np.datetime64("2024-01-01T00:00:00", "ms") + np.arange(N)),
        "price": pa.array([decimal.Decimal(i) / 4 for i in range(N)], pa.decimal128(10, 2)),
        "clock": pa.array([dt.time(i % 24, 5) for i in range(N)]),
        "parts": pa.array([None if late[i] else [i, i + 1] for i in range(N)]),
    }
    return pa.table(columns)


def pieces_of(source, rows=7):
    return [source.frame(t) for g in source.groups for t in source.pieces(g, rows=rows)]


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("row_group", [N, 50])
def test_every_piece_has_the_values_and_types_that_reading_the_whole_gives(tmp_path, row_group, statistics):
    path = tmp_path / "a.parquet"
    pq.write_table(frame_of_all_kinds(), path, row_group_size=row_group, write_statistics=statistics)
    whole, notes = read_parquet(path)
    source = ParquetSource(path)
    pieces = pieces_of(source)
    assert {tuple(map(str, piece.dtypes)) for piece in pieces} == {tuple(map(str, pieces[0].dtypes))}
    joined = pd.concat(pieces, ignore_index=True)
    for name in whole.columns:
        want, got = whole[name], joined[name]
        assert got.isna().equals(want.isna()), name
        assert got.dropna().map(str).tolist() == want.dropna().map(str).tolist(), name
        assert got.dtype.kind == want.dtype.kind, name
    assert source.nested == {"clock", "parts"} == {note.what.split("'")[1] for note in notes}
    assert source.head(60).equals(joined.head(60)) and source.read().equals(joined)


def test_columns_come_in_the_order_asked_for(tmp_path):
    pq.write_table(frame_of_all_kinds(), tmp_path / "a.parquet")
    source = ParquetSource(tmp_path / "a.parquet")
    (table,) = source.pieces(source.groups[0], ["word", "whole"])
    assert table.column_names == ["word", "whole"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(np.arange(20_000)),
        pa.array(np.arange(20_000) % 100, pa.int8()),
        pa.array(np.random.default_rng(0).normal(size=20_000), pa.float32()),
        pa.array(["a long text that comes again and again and takes its room each time"] * 20_000),
        pa.array([f"user-{i:09}" for i in range(20_000)]),
        pa.array(["x", "yy"] * 10_000).dictionary_encode(),
        pa.array(np.datetime64("2024-01-01", "ms") + np.arange(20_000)),
    ],
    ids=["int64", "int8", "float32", "repeated text", "text", "dictionary", "moments"],
)
def test_the_size_in_memory_is_told_without_reading(tmp_path, column):
    pq.write_table(pa.table({"a": column}), tmp_path / "a.parquet")
    source = ParquetSource(tmp_path / "a.parquet")
    taken = read_parquet(tmp_path / "a.parquet")[0].memory_usage(index=False, deep=True).sum()
    assert 0.8 * taken < source.n_bytes < 1.6 * taken


def test_a_large_row_group_is_not_fetched_as_a_whole(tmp_path):
    columns = {f"x{i}": np.random.default_rng(i).normal(size=400_000) for i in range(8)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=400_000, use_dictionary=False)
    del columns
    source = ParquetSource(tmp_path / "a.parquet")
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for table in source.pieces(source.groups[0]):
        most, rows = max(most, pa.total_allocated_bytes() - before), rows + len(table)
    assert rows == 400_000 and source.n_bytes == rows * 64
    assert most < source.n_bytes / 3


def test_a_folder_is_one_table(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=90), "k": np.arange(90), "y": ["u", "v"] * 45})
    for i in range(3):
        table[30 * i : 30 * i + 30].to_parquet(folder / f"part-{i}.parquet")
    (folder / "_SUCCESS").write_text("")
    table.to_parquet(tmp_path / "all.parquet")
    assert is_parquet_folder(folder)
    parts, whole = read(folder, target="y"), read(tmp_path / "all.parquet", target="y")
    assert parts.X.equals(whole.X) and parts.y.tolist() == whole.y.tolist()
    assert parts.name == "parts" and parts.fingerprint == whole.fingerprint


def test_types_that_differ_between_files_become_one_where_they_can(tmp_path):
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet(tmp_path / "1.parquet")
    pd.DataFrame({"a": [0.5, None], "b": [None, None]}).to_parquet(tmp_path / "2.parquet")
    source = ParquetSource(tmp_path)
    assert {str(piece["a"].dtype) for piece in pieces_of(source)} == {"float64"}
    assert source.read()["a"].tolist()[:3] == [1, 2, 0.5] and source.read()["b"].isna().sum() == 2
    pd.DataFrame({"a": ["x"], "b": ["x"]}).to_parquet(tmp_path / "3.parquet")
    with pytest.raises(DataError, match=r"column 'a' of one type in 3\.parquet"):
        ParquetSource(tmp_path)


def test_what_cannot_be_one_table_is_refused(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(DataError, match="more than once"):
        pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "twice.parquet")
        ParquetSource(tmp_path / "twice.parquet")
    pd.DataFrame({"b": [1]}).to_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"the same columns in 2\.parquet"):
        ParquetSource([tmp_path / "1.parquet", tmp_path / "2.parquet"])
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "1.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match="a whole Parquet file"):
        ParquetSource(tmp_path / "torn.parquet")


def test_only_what_is_larger_and_can_be_streamed_is_streamed(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": np.arange(1000.0), "y": np.arange(1000)}).to_parquet(path)
    assert larger_than(15_000, path) is not None
    assert larger_than(17_000, path) is None
    assert larger_than(1, "digits") is None and larger_than(1, tmp_path / "none.parquet") is None
    pd.DataFrame({"image": [b"\x89PNG" * 100] * 9, "y": [0] * 9}).to_parquet(tmp_path / "images.parquet")
    assert larger_than(1, tmp_path / "images.parquet") is None, "encoded images are read as images"
