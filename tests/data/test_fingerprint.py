"""Fingerprints change with every value, type and order, and with nothing else."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from gradus.data.dataset import Dataset
from gradus.data.fingerprint import fingerprint, row_hashes


def frame():
    return pd.DataFrame(
        {
            "a": [1.0, np.nan, 3.0],
            "b": ["x", None, "xy"],
            "c": [True, False, True],
            "d": pd.to_datetime(["2024-01-01"] * 3),
        }
    )


CHANGES = {
    "value": lambda f: f.assign(a=[1.0, np.nan, 3.5]),
    "missing instead of a value": lambda f: f.assign(a=[1.0, np.nan, np.nan]),
    "empty text instead of missing": lambda f: f.assign(b=["x", "", "xy"]),
    "letters moved to the next row": lambda f: f.assign(b=["xx", None, "y"]),
    "type": lambda f: f.assign(c=f.c.astype(int)),
    "date": lambda f: f.assign(d=f.d + pd.Timedelta("1us")),
    "row order": lambda f: f.iloc[[1, 0, 2]],
    "column order": lambda f: f[["b", "a", "c", "d"]],
    "column name": lambda f: f.rename(columns={"a": "A"}),
    "a row less": lambda f: f.iloc[:2],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_fingerprint_changes_with(change):
    assert fingerprint(CHANGES[change](frame())) != fingerprint(frame())


def test_a_fingerprint_ignores_the_index_and_the_class_that_holds_text():
    other = frame().set_axis([7, 8, 9])
    other["b"] = other["b"].astype(object)
    assert fingerprint(other) == fingerprint(frame())
    other["b"] = other["b"].astype("category")
    assert fingerprint(other) == fingerprint(frame())


def test_a_fingerprint_is_the_same_in_another_process_with_another_hash_seed():
    code = (
        "import numpy as np, pandas as pd; from gradus.data.fingerprint import fingerprint, row_hashes;"
        "f = pd.DataFrame({'b': ['x', None, 'ü'], 'n': [1.5, 2, 3]});"
        "print(fingerprint(f, np.arange(6).reshape(2, 3), None, 'y'), row_hashes(f).tolist())"
    )
    import os

    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_a_fingerprint_depends_on_an_arrays_shape_and_not_on_its_strides_or_byte_order():
    a = np.arange(6, dtype=np.int32)
    assert fingerprint(a.reshape(2, 3)) != fingerprint(a.reshape(3, 2))
    assert fingerprint(np.asfortranarray(a.reshape(2, 3))) == fingerprint(a.reshape(2, 3))
    assert fingerprint(a.astype(">i4")) == fingerprint(a)
    assert fingerprint(a.astype(np.int64)) != fingerprint(a)


def test_row_hashes_agree_exactly_where_rows_are_equal():
    f = pd.DataFrame({"a": [0.0, -0.0, np.nan, np.nan, 1.0], "b": ["x", "x", None, None, "x"]})
    h = row_hashes(f)
    assert h[0] == h[1] and h[2] == h[3] and len({h[0], h[2], h[4]}) == 3
    h = row_hashes(np.array([[0.0], [-0.0], [np.nan], [-np.nan], [1.0]], dtype=np.float32))
    assert h[0] == h[1] and h[2] == h[3] and len({h[0], h[2], h[4]}) == 3
    mixed = row_hashes(pd.DataFrame({"a": [1, "1", [1], None]}, dtype=object))
    assert len(set(mixed.tolist())) == 4
    images = np.zeros((3, 4, 4, 1), np.uint8)
    images[2, 3, 3, 0] = 1
    h = row_hashes(images)
    assert h[0] == h[1] != h[2]


def test_a_data_sets_fingerprint_covers_target_and_test_part():
    X, y = pd.DataFrame({"a": [1, 2]}), np.array([0, 1])
    base = Dataset(name="t", kind="table", X=X, y=y, target="y")
    assert base.fingerprint == Dataset(name="u", kind="table", X=X.copy(), y=y.copy(), target="y").fingerprint
    others = [
        Dataset(name="t", kind="table", X=X, y=y[::-1], target="y"),
        Dataset(name="t", kind="table", X=X, y=y, target="z"),
        Dataset(name="t", kind="table", X=X, y=y, target="y", test=(X, y)),
    ]
    assert len({base.fingerprint, *(o.fingerprint for o in others)}) == 4
