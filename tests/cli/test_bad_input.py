"""Hostile and clumsy users: what cannot be used is refused with one sentence, and leaves nothing."""

import bz2
import gzip
import io
import lzma
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clumsy import bomb_png, pictures, refused, table, truncate

pytestmark = pytest.mark.usefixtures("here")


REFUSED = {
    "empty file": ("", ["a.csv, which is empty"]),
    "blank file": (" \n\n", ["blank"]),
    "header only": ("a,b,y\n", ["rows below the header"]),
    "one column": ("y\n1\n2\n", ["one column, 'y'"]),
    "constant target": (table(y="u"), ["only 'u'"]),
    "empty target": (table(y=np.nan), ["none in a"]),
    "nothing but the target has values": ("a,y\n,u\n,v\n,u\n,v\n", ["only empty ones"]),
    "nothing but the target varies": ("a,y\n1,u\n1,v\n1,u\n1,v\n", ["the same values in every row"]),
    "ragged": (table() + "1,2\n", ["4 fields in every row", "2 in line 42"]),
    "two columns of one name": ("a,a,y\n1,2,u\n", ["'a' more than once"]),
    "binary": (bytes(range(256)) * 4, ["binary data"]),
    "no encoding at all": (table().encode() + b"1,2,\x81\x8d,pos\n", ["line 42", "none of them"]),
    "one row": ("a,y\n1,u\n", ["only 'u'"]),
    "two rows": ("a,y\n1,u\n2,v\n", ["2 of 2 classes with a single row"]),
    "three rows of two classes": ("a,y\n1,u\n2,v\n3,u\n", ["1 of 2 classes"]),
    "names as target": (table(y=[f"name {i}" for i in range(40)]), ["40 of 40 classes"]),
    "dates as target": (table(y=pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")), ["got dates"]),
    "huge target": (table(y=np.linspace(1, 9, 40) * 1e300), ["1e36", "9e+300"]),
    "tiny target": (table(y=np.linspace(1, 9, 40) * 1e-300), ["1e-36", "8e-300"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_cannot_be_learned_from_is_refused(case, capsys):
    content, words = REFUSED[case]
    Path("a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(capsys, "fit", "a.csv", "--target", "y", words=words)


ARGUMENTS = [
    (["fit", "clients.csvv"], ["did you mean 'clients.csv'"]),
    (["fit", "nowhere/clients.csv"], ["no folder 'nowhere'"]),
    (["fit", ""], ["an empty name"]),
    (["fit", "  "], ["an empty name"]),
    (["fit", "."], ["images", "such as 'clients.csv'"]),
    (["fit", "/"], ["the root of the file system"]),
    (["fit", "/dev/null"], ["a pipe or a device"]),
    (["fit", "dangling"], ["a link that leads nowhere"]),
    (["fit", "a\0b"], ["does not exist"]),
    (["fit", "c\udcff.csv"], ["names in UTF-8"]),
    (["fit", "clients.csv", "--target", "Y"], ["'Y'", "did you mean 'y'"]),
    (["fit", "clients.csv", "--target", ""], ["there are: a, b, c, y"]),
    (["fit", "clients.csv", "--group", "y", "--target", "y"], ["--group"]),
    (["fit", "clients.csv", "--time", "y", "--target", "y"], ["--time"]),
    (["fit", "sorted.csv", "--time", "t"], ["training rows", "only u"]),
    (["fit", "clients.csv", "--time", "c"], ["dates in column 'c'"]),
    (["fit", "clients.csv", "--group", "BB"], ["did you mean 'b'"]),
    (["fit", "clients.csv", "--task", "regression"], ["numbers", "'neg', 'pos'", "--task classification"]),
    (["fit", "clients.csv", "--target", "a", "--task", "classification"], ["40 of 40 classes"]),
    (["fit", "clients.csv", "--set", "learnin_rate=1"], ["did you mean 'learning_rate'"]),
    (["fit", "clients.csv", "--set", "learning-rate=much"], ["a number > 0", "'much'"]),
    (["fit", "clients.csv", "--set", "learning_rate=nan"], ["a number > 0", "nan"]),
    (["fit", "clients.csv", "--set", "learning_rate=1e400"], ["a number > 0", "inf"]),
    (["fit", "clients.csv", "--set", "max_epochs=1.5"], ["an integer >= 0", "'1.5'"]),
    (["fit", "clients.csv", "--set", f"max_epochs={'9' * 5000}x"], ["an integer >= 0"]),
    (["fit", "clients.csv", "--set", "hidden=3,-3"], ["a list of integers >= 1"]),
    (["fit", "clients.csv", "--set", "optimizer=adm"], ["one of sgd", "did you mean 'adam'"]),
    (["fit", "clients.csv", "--set", "device=tpu"], ["device", "'tpu'"]),
    (["fit", "clients.csv", "--set", "device=cuda:99"], ["devices present", "cuda:99"]),
    (["fit", "clients.csv", "--set", "column_kinds=bb:number"], ["'bb'"]),
    (["fit", "clients.csv", "--set", "column_kinds=b:nmber"], ["did you mean 'number'"]),
    (["fit", "clients.csv", "--set", "class_weight=poz:3"], ["'poz'", "did you mean 'pos'"]),
    (["fit", "clients.csv", "--set", "seed=4"], ["write --seed 4"]),
    (["fit", "clients.csv", "--set", "random_state=4"], ["write --seed 4"]),
    (["fit", "clients.csv", "--set", "checkpoint=here"], ["its own folder"]),
    (["fit", "clients.csv", "--set", "test_fraction=2"], ["test_fraction", "<= 0.8"]),
    (["fit", "clients.csv", "--set", "test_fraction=some"], ["test_fraction", "'some'"]),
    (["fit", "clients.csv", "--set", "memory=0"], ["memory", "a number > 0", "larger ones are streamed"]),
    (["fit", "clients.csv", "--set", "memory=abc"], ["memory", "a number > 0", "'abc'"]),
    (["fit", "clients.csv", "--set", "hidden=8", "--set", "hidden=9"], ["one value for hidden"]),
    (["fit", "clients.csv", "--set", "hidden"], ["--set name=value"]),
    (["fit", "clients.csv", "--max-time", "inf"], ["--max-time above 0"]),
    (["fit", "clients.csv", "--out", "clients.csv"], ["a file of that name"]),
    (["fit", "clients.csv", "--out", "clients.csv/run"], ["a file where a folder should be"]),
    (["fit", "clients.csv", "--out", "full"], ["an empty folder full"]),
    (["fit", "clients.csv", "--out", "."], ["one with files"]),
    (["fit", "clients.csv", "--out", "x" * 300], ["too long"]),
    (["fit", "clients.csv", "--out", "c\udcff"], ["names in UTF-8"]),
    (["fit"], ["source after `gradus fit`", "got none"]),
    (["fit", "my", "clients.csv"], ["quotation marks"]),
    (["fit", "clients.csv", "--sed", "1"], ["'--sed'", "did you mean '--seed'"]),
    (["fit", "clients.csv", "--seed", "one"], ["--seed", "'one'", "integer"]),
    (["fit", "clients.csv", "--seed=-1"], ["'-1'", "0"]),
    (["fit", "clients.csv", "--seed"], ["a value after --seed"]),
    (["fit", "clients.csv", "--quiet=3"], ["--quiet by itself"]),
    (["fit", "clients.csv", "--task", "clasification"], ["did you mean 'classification'"]),
    (["fti", "clients.csv"], ["'fti'", "did you mean 'fit'"]),
    (["predict", "nowhere", "clients.csv"], ["'nowhere', which is not there"]),
    (["predict", "clients.csv", "clients.csv"], ["'clients.csv', which is a file"]),
    (["resume", "full"], ["with run.json"]),
    (["inspect", "nowhere"], ["does not exist"]),
    (["config", "MLPClasifier"], ["did you mean 'MLPClassifier'"]),
    (["book", "99"], ["a section of the book"]),
]


@pytest.mark.parametrize(
    ("arguments", "words"), ARGUMENTS, ids=lambda value: " ".join(value)[:60].encode("unicode_escape").decode()
)
def test_arguments_that_cannot_be_followed_are_refused(arguments, words, capsys):
    Path("clients.csv").write_text(table())
    Path("sorted.csv").write_text("t,a,y\n" + "".join(f"{i},{i % 7},{'uv'[i > 25]}\n" for i in range(40)))
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("years of work")
    Path("dangling").symlink_to("gone.csv")
    refused(capsys, *arguments, words=words)
    assert Path("full/thesis.txt").read_text() == "years of work"


# ---- files of other kinds ----


class Bomb:
    def __reduce__(self):
        return (open, ("ran", "w"))


FORMATS = [
    "csv",
    "tsv",
    "txt",
    "parquet",
    "jsonl",
    "npz",
    "npy",
    "png",
    "xlsx",
    "json",
    "zip",
    "pkl",
    "pt",
    "joblib",
    "h5",
]


@pytest.mark.parametrize("suffix", [*FORMATS, "csv.gz", "csv.bz2", "csv.xz", "gz", ""])
def test_a_pickle_is_never_run_whatever_it_is_called(suffix, capsys):
    path = Path(f"a.{suffix}".rstrip("."))
    path.write_bytes(pickle.dumps(Bomb()))
    refused(capsys, "fit", path)
    refused(capsys, "inspect", path)
    assert not Path("ran").exists()


def test_pickled_objects_in_arrays_are_refused(capsys):
    np.savez("a.npz", x=np.array([Bomb(), Bomb()], dtype=object), y=np.arange(2))
    refused(capsys, "fit", "a.npz", words=["pickled Python objects"])
    assert not Path("ran").exists()


def packed_bomb(path):
    pack = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[path.suffix]
    with pack(path, "wb") as out:
        out.write(b"a,y\n")
        for _ in range(20):
            out.write(bytes(1 << 22))


def claiming_npz(path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (2**57,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", head.getvalue())


def zeros_npz(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(1 << 27))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv.gz", packed_bomb),
        ("a.csv.bz2", packed_bomb),
        ("a.csv.xz", packed_bomb),
        ("a.npz", claiming_npz),
        ("b.npz", zeros_npz),
    ],
)
def test_a_bomb_is_refused_at_once(name, write, capsys):
    write(Path(name))
    start = time.perf_counter()
    refused(capsys, "fit", name)
    assert time.perf_counter() - start < 5


ARRAYS = {
    "no array": ({}, ["an array of inputs"]),
    "lengths that differ": ({"x": np.zeros((5, 3)), "y": np.zeros(4)}, ["5 values in 'y'"]),
    "one image": ({"x": np.zeros((1, 8, 8), "u1"), "y": np.zeros(1)}, ["only 0.0"]),
    "five axes": ({"x": np.zeros((4, 8, 8, 2, 2)), "y": np.arange(4) % 2}, ["shape (4, 8, 8, 2, 2)"]),
    "complex": ({"x": np.zeros((4, 8), complex), "y": np.arange(4) % 2}, ["complex128"]),
    "all NaN": ({"x": np.full((20, 3), np.nan), "y": np.arange(20) % 2}, ["only empty ones"]),
    "no classes": ({"x": np.zeros((40, 8, 8), "u1"), "y": np.linspace(0, 1, 40)}, ["classes"]),
    "each image its own class": ({"x": np.zeros((40, 8, 8), "u1"), "y": np.arange(40)}, ["40 of 40 classes"]),
    "NaN among the labels": ({"x": np.zeros((4, 8, 8), "u1"), "y": np.array([0, 1, np.nan, 1])}, ["1 that are not"]),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_are_no_data_are_refused(case, capsys):
    arrays, words = ARRAYS[case]
    np.savez("a.npz", **arrays)
    refused(capsys, "fit", "a.npz", words=words)


def test_images_as_a_regression_are_refused(capsys):
    np.savez("a.npz", x=np.zeros((40, 8, 8), "u1"), y=np.arange(40) % 4)
    refused(capsys, "fit", "a.npz", "--task", "regression", words=["classes for images"])


FOLDERS = {
    "empty": (lambda d: d.mkdir(), ["images", "got none"]),
    "no image": (lambda d: (d.mkdir(), (d / "a.txt").write_text("x")), ["images", "got none"]),
    "one class": (lambda d: pictures(d, classes=("cat",)), ["only 'cat'"]),
    "no class folders": (
        lambda d: (pictures(d.with_name("t")), (d.with_name("t") / "cat").rename(d)),
        ["class folders"],
    ),
    "a quarter damaged": (
        lambda d: (pictures(d, n=2), truncate(d / "cat/0.png")),
        ["1 damaged one among 4", "cat/0.png"],
    ),
    "a bomb": (lambda d: (pictures(d), bomb_png(d / "cat/x.png")), ["64 million pixels", "x.png"]),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folders_that_hold_no_classes_of_images_are_refused(case, tmp_path, capsys):
    make, words = FOLDERS[case]
    make(tmp_path / "photos")
    refused(capsys, "fit", "photos", words=words)


def test_a_target_for_a_folder_of_images_is_refused(capsys):
    pictures(Path("photos"))
    refused(capsys, "fit", "photos", "--target", "cat", words=["its class folders are the target"])
    refused(capsys, "fit", "photos/cat/0.png", words=["the single image 0.png", "name its folder"])
