"""Bad input gets one sentence: what was expected, what came, what to do."""

import gzip
import io
import re
import time
import zipfile

import numpy as np
import pandas as pd
import pytest

from gradus.core.errors import DataError, GradusError
from gradus.data.reading import read

GOOD = "a,b,y\n1,x,u\n2,y,v\n3,x,u\n4,z,v\n"


def refused(path, match, **options):
    with pytest.raises(GradusError, match=match) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("expected ") and "; " in message
    assert len(message) < 600
    return message


def test_a_missing_file_suggests_the_nearest_name(tmp_path):
    (tmp_path / "customers.csv").write_text(GOOD)
    refused(tmp_path / "custmers.csv", "did you mean 'customers.csv'")
    refused(tmp_path / "nowhere" / "a.csv", "no folder")
    refused("digit", "did you mean 'digits'")


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b" \n\n", "blank"),
        ("a.csv", b"\xef\xbb\xbf", "blank"),
        ("a.csv", b"a,b,y\n", "header only"),
        ("a.csv", b"a,b,y\n\n\n", "header only"),
        ("a.csv", b"y\n1\n2\n", "one column, 'y'"),
        ("a.csv", b"a,b,y\n1,2,3\n4,5\n6,7,8\n", "3 fields in every row of a.csv, got 2 in line 3"),
        ("a.csv", b"a,b,y\n\n1,2,3\n4,5,6,7\n", "got 4 in line 4"),
        ("a.csv", b'a,b,y\n"1\n1",2,3\n4,5\n', "got 2 in line 4"),
        ("a.csv", b'a,b,y\n1,2,3\n"4,5\n7,8,9\n', "line 3"),
        ("a.csv", b"a,b,a,y\n1,2,3,4\n", "'a' more than once"),
        ("a.csv", b"a,y\n" + bytes(range(256)) * 10, "binary"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 50, "binary"),
        ("a.csv", b"a,y\n1,u\n2,\x81\x8d\n", "line 3"),
        ("a.csv", b"a,y\n1,u\n2,u\n3,u\n", "only 'u'"),
        ("a.csv", b"a,y\n1,\n2,\n3,\n", "got none"),
        ("a.csv", b"a,y\n1,5.5\n2,5.5\n", "only 5.5"),
        ("a.csv", b"a,y\n1,p\n2,q\n3,r\n4,r\n", "single row"),
        ("a.csv", b"a,y\n,u\n,v\n,u\n,v\n", "at least one column"),
        ("a.jsonl", b'{"a": 1, "y": 2}\n{"a": 1, "y": \n', "line 2"),
        ("a.jsonl", b'{"a": 1, "y": 2}\n\n[1, 2]\n', "line 3, a list"),
        ("a.jsonl", b'{"a": 1, "y": 2}\n' + b"[" * 100_000, "line 2"),
        ("a.jsonl", b'{"a": ' + b"1" * 5000 + b"}\n", "line 1"),
        ("a.parquet", b"PAR1 no parquet PAR1", "damaged"),
        ("a.parquet", b"", "damaged"),
        ("a.csv.gz", b"no gzip", "damaged"),
        ("a.csv.gz", gzip.compress(GOOD.encode() * 100, mtime=0)[:-20], "damaged"),
        ("a.npz", b"no zip", "an .npz archive"),
        ("a.npy", b"no array", "a NumPy array"),
        ("a.xlsx", b"PK", "export the sheet as CSV"),
        ("a.pkl", b"\x80\x04.", "could run code"),
        ("a.pt", b"PK", "could run code"),
        ("a", b"a,y", "convert it"),
    ],
)
def test_a_file_is_refused(tmp_path, name, data, match):
    path = tmp_path / name
    path.write_bytes(data)
    refused(path, match)


@pytest.mark.parametrize("role", ["target", "group", "time"])
def test_an_unknown_column_suggests_the_nearest(tmp_path, role):
    path = tmp_path / "a.csv"
    path.write_text("price,kind,Sold\n1,x,u\n2,y,v\n")
    refused(path, "did you mean 'price'", **{role: "pice"})
    refused(path, "did you mean 'Sold'", **{role: "SOLD"})
    refused(path, "there are: price, kind, Sold", **{role: "zzz"})
    refused(path, "did you mean 'kind'", columns=["kin"])


def test_the_target_of_nearly_all_different_names_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a,y", *(f"{i},name{i}" for i in range(50)), "1,p", "2,p", "3,q", "4,q"]))
    refused(path, "50 of 52 classes with a single row", target="y")


def test_a_time_that_is_none_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t,a,y\nsoon,1,u\nlater,2,v\nnow,3,u\nthen,1,v\n")
    refused(path, "dates in column 't'", target="y", time="t")
    path.write_text("t,a,y\n,1,u\n2024-01-01,2,v\n2024-01-02,3,u\n2024-01-03,3,v\n")
    refused(path, "a time in every row of 't'", target="y", time="t")


def test_a_damaged_parquet_is_refused_wherever_it_is_cut(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": np.arange(1000.0), "y": ["u", "v"] * 500}).to_parquet(path)
    data = path.read_bytes()
    for cut in (10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        refused(path, "damaged")
    path.write_bytes(data[:100] + bytes(200) + data[300:])
    refused(path, "damaged")


def test_a_parquet_of_run_lengths_that_stand_for_billions_of_rows_is_refused_at_once(tmp_path, monkeypatch):
    import gradus.data.records as records

    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": np.zeros(1_000_000, np.int8), "y": np.zeros(1_000_000, np.int8)}).to_parquet(path)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(records, "memory_limit", lambda: 10_000_000)
    refused(path, "fit in memory")


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as out:
        out.write(b"a,y\n")
        for _ in range(25):
            out.write(bytes(1 << 22))
    start = time.perf_counter()
    refused(path, "fit in memory when unpacked")
    assert time.perf_counter() - start < 5


def test_pickled_objects_in_numpy_files_are_refused_and_not_run(tmp_path):
    flag = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (open, (str(flag), "w"))

    bomb = np.empty(2, dtype=object)
    bomb[:] = [Bomb(), Bomb()]
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), y=bomb)
    refused(tmp_path / "a.npz", "pickled")
    np.save(tmp_path / "a.npy", bomb)
    refused(tmp_path / "a.npy", "pickled")
    assert not flag.exists()


def test_an_npz_that_claims_an_exabyte_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**57,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    refused(tmp_path / "a.npz", "impossible shape")


def test_messages_stay_short_where_values_are_long(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "\n".join(f"{i},{'long ' * 200}" for i in range(5)))
    message = refused(path, "only")
    assert re.search(r"'long long .*\.\.\.'", message)


def test_a_data_error_is_a_value_error_too(tmp_path):
    assert issubclass(DataError, ValueError)
