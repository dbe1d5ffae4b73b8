"""Hostile and clumsy users: what is refused gets one sentence and leaves nothing; what is not works to the end."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import forks
from gradus.cli.main import run
from gradus.core.lock import RunLock
from gradus.estimators.persistence import _seal

QUICK = ("--set", "max_epochs=1", "--set", "hidden=4", "--set", "n_threads=1")


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def gradus(capsys, *arguments):
    capsys.readouterr()
    code = run([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err and "Warning" not in err
    return code, out, err


def refused(capsys, *arguments, words=(), progress=False):
    """Check the contract of an error, and that nothing below the working folder has changed."""
    before = tree(Path())
    code, out, err = gradus(capsys, *arguments)
    assert (code, out) == (2, "")
    *said, sentence = err.splitlines()
    assert progress or not said
    assert sentence.startswith("error: expected ") and ", got " in sentence and "; " in sentence
    assert "  " not in sentence and len(sentence) < 500 and ".0" not in sentence.partition(", got ")[0]
    for word in words:
        assert word in sentence
    assert tree(Path()) == before
    return sentence


def table(n=40, **columns):
    """Return a small table of two classes as CSV; a column given as None is left out."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=n)
    frame = {"a": a, "b": np.arange(n) % 7, "c": np.array(["x", "y", "z"])[np.arange(n) % 3]}
    frame |= {"y": np.where(a > 0, "pos", "neg")} | columns
    return pd.DataFrame({k: v for k, v in frame.items() if v is not None}).to_csv(index=False)


def repeated(*values, n=40):
    return [values[i % len(values)] for i in range(n)]


def pictures(folder, n=6, size=(6, 5), classes=("cat", "dog")):
    rng = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = (rng.random((*size, 3)) * 100 + 100 * k).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def bomb_png(path):
    """Write a picture of 900 million pixels in a hundred bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ---- tables that are refused ----

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


def truncate(path):
    path.write_bytes(path.read_bytes()[:60])


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


# ---- what looks bad and is not: it works to the end ----


def works(capsys, source, *options, words=(), rows=None):
    """Fit, check that all is there and the notes were shown, and predict on the same data."""
    code, _, err = gradus(capsys, "fit", source, *QUICK, *options, "--out", "run")
    assert code == 0, err
    for word in words:
        assert word in err
    record = json.loads(Path("run/run.json").read_text())
    assert record["status"] == "finished"
    assert [rung["error"] for rung in record["ladder"]] == [None] * len(record["ladder"])
    assert all(rung["test"] for rung in record["ladder"])
    assert {"report.html", "README.md", "config.yaml", "data.json"} <= set(os.listdir("run"))
    assert "estimator.json" in os.listdir("run/model")
    code, _, _ = gradus(capsys, "predict", "run", source, "--out", "answers.csv")
    assert code == 0
    answers = pd.read_csv("answers.csv", dtype={"prediction": str}, keep_default_na=False)
    assert len(answers) == (rows or 40)
    if record["task"] == "classification":
        assert set(answers["prediction"]) <= set(record["data"]["classes"])
        assert answers["probability"].astype(float).between(0, 1).all()
    else:
        assert np.isfinite(answers["prediction"].astype(float)).all()
    return record


WORKS = {
    "an empty column": (table(d=np.nan), ["note", "column 'd': dropped: no row has a value"], 40),
    "a constant column": (table(d=1), ["constant columns", "'d'"], 40),
    "a class with one row": (table(y=["rare", *repeated("u", "v", n=39)]), ["single row", "'rare'"], 40),
    "mixed encodings": (table().encode() + b"1,2,\xe9,pos\n1,3,\xc3\xa9,neg\n", ["mixed encoding", "line 42"], 42),
    "infinities": (table(a=repeated(0.5, np.inf, -1.0, 2.0)), ["column 'a' (10): infinite values"], 40),
    "1e300": (table(a=repeated(0.5, 1e300, -1.0, 2.0)), ["column 'a' (10): values beyond 1e36"], 40),
    "spaces around classes": (table(y=repeated("u", " u", "v ", "v")), ["target 'y'", "spaces"], 40),
    "true and false": (table(y=repeated(True, False)), [], 40),
    "numbers as names": (table(y=repeated("1e3", "12-a", "0x1")), [], 40),
    "letters of the world": (table(y=repeated("é", "猫", "🐈‍⬛")), [], 40),
    "four rows": ("a,b,y\n1,4,u\n2,2,v\n3,9,u\n4,1,v\n", [], 4),
    "three classes of two rows": ("a,b,y\n" + "".join(f"{i},{i * i},{'uvw'[i % 3]}\n" for i in range(6)), [], 6),
    "five rows of numbers": ("a,y\n" + "".join(f"{i},{i * 1.5}\n" for i in range(5)), ["regression"], 5),
    "numbers that are far": (table(y=np.linspace(1, 9, 40) * 1e30), ["regression"], 40),
    "markup in names": (table(y=None, **{"<script>alert(1)</script>": repeated("<b>", "[red]")}), [], 40),
    "a column called prediction": (table(prediction=repeated(1, 2, 3)), [], 40),
}


@pytest.mark.parametrize("case", WORKS)
def test_a_strange_table_works_to_the_end(case, capsys):
    content, words, rows = WORKS[case]
    Path("a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    record = works(capsys, "a.csv", words=words, rows=rows)
    page = Path("run/report.html").read_text()
    assert "<script>alert" not in page and record["target"].replace("<", "&lt;")[:4] in page


@pytest.mark.parametrize("name", ["index", "target", "file", "probability", "p(pos)", "low", "Unnamed: 0", "x" * 300])
@pytest.mark.slow
def test_any_column_name_will_do_for_input_and_target(name, capsys):
    Path("a.csv").write_text(table(**{name: repeated(3, 1, 2)}))
    works(capsys, "a.csv", "--target", "y")
    shutil.rmtree("run")
    Path("a.csv").write_text(table(y=None, **{name: repeated("u", "v")}))
    works(capsys, "a.csv", "--target", name)


def test_ten_thousand_categories_in_a_path_of_spaces_and_letters(capsys):
    n = 12_000
    folder = Path("mein Ordner – été")
    folder.mkdir()
    (folder / "дані 表.csv").write_text(table(n, d=[f"k{i % 10_000}" for i in range(n)]))
    works(capsys, folder / "дані 表.csv", words=["'d' has 10,000 different values in 12,000 rows"], rows=n)


def test_numbers_asked_for_as_classes_are_classes(capsys):
    Path("a.csv").write_text(table(y=repeated(0.5, 1.5, 2.5)))
    record = works(capsys, "a.csv", "--task", "classification", "--set", "class_weight=0.5:2")
    assert record["data"]["classes"] == ["0.5", "1.5", "2.5"]


def test_a_weight_is_given_to_a_class_that_is_a_number(capsys):
    Path("a.csv").write_text(table(y=repeated(3, 7)))
    record = works(capsys, "a.csv", "--set", "class_weight=7:2.5")
    assert {s["name"]: s["value"] for s in record["settings"]}["class_weight"] == "7:2.5"


def test_dates_stored_as_dates_are_no_target(capsys):
    pd.DataFrame({"a": range(40), "y": pd.date_range("2024-01-01", periods=40)}).to_parquet("a.parquet")
    refused(capsys, "fit", "a.parquet", "--target", "y", words=["dates or times", "days since the first"])


def test_arrays_of_another_machine(capsys):
    rng = np.random.default_rng(0)
    np.savez("a.npz", x=rng.normal(size=(40, 8)).astype(">f8"), y=(np.arange(40) % 2).astype(">i4"))
    works(capsys, "a.npz")


def test_a_folder_of_images_with_all_that_happens(tmp_path, capsys):
    home = tmp_path / "Tiere été"
    pictures(home, n=20, classes=("Käfer 1", "猫"))
    truncate(home / "猫" / "3.png")
    (home / "empty").mkdir()
    (home / "notes.txt").write_text("x")
    Image.new("RGB", (9, 9)).save(home / "猫" / "large.png")
    quick = ("--set", "max_epochs=1", "--set", "channels=4", "--set", "n_threads=1")
    code, _, err = gradus(capsys, "fit", home, *quick, "--out", "run")
    assert code == 0
    for word in ("damaged images: skipped: 猫/3.png", "folders without an image", "no images", "image sizes"):
        assert word in err
    # other sizes are scaled to the fitted one; what is damaged is left out, and both are said
    new = tmp_path / "new"
    pictures(new, n=12, size=(20, 10), classes=("a", "b"))
    truncate(new / "a" / "0.png")
    code, out, err = gradus(capsys, "predict", "run", new)
    assert code == 0 and len(out.splitlines()) == 1 + 23
    assert "note image sizes (24): scaled to 6x5" in err and "damaged images: skipped: a/0.png" in err
    choose(Path("run"), "convolutional network")
    np.savez("other.npz", x=np.zeros((3, 9, 9, 3), "u1"))
    refused(capsys, "predict", "run", "other.npz", words=["(6, 5, 3)", "(9, 9, 3)"], progress=True)


# ---- predicting ----


def choose(folder, rung):
    """Let another rung be the winner: the smallest table has its own opinion of which is best."""
    record = json.loads((folder / "run.json").read_text())
    record["chosen"] = rung
    (folder / "run.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A finished run ``run`` of ``a.csv``, to be copied."""
    home = tmp_path_factory.mktemp("fitted")
    frame = pd.read_csv(io.StringIO(table())).assign(when=pd.date_range("2024-01-15", periods=40).strftime("%Y-%m-%d"))
    frame[["a", "b", "c", "when", "y"]].to_csv(home / "a.csv", index=False)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.chdir(home)
        assert run(["fit", "a.csv", "--quiet", *QUICK, "--out", "run"]) == 0
    choose(home / "run", "multilayer perceptron")
    return home


@pytest.fixture
def finished(fitted, tmp_path):
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def stopped(folder):
    record = json.loads((folder / "run.json").read_text())
    record |= {"status": "stopped", "chosen": None}
    (folder / "run.json").write_text(json.dumps(record))


CHANGES = {
    "a column missing": (lambda f: f.drop(columns="a"), "the column 'a', got a table without it"),
    "a column renamed": (lambda f: f.rename(columns={"b": "B"}), "did you mean 'B'"),
    "words for numbers": (
        lambda f: f.assign(a="hello"),
        "numbers in column 'a', as the run was fitted on, got 'hello'",
    ),
    "words for dates": (lambda f: f.assign(when="soon"), "dates in column 'when'"),
    "no row": (lambda f: f.head(0), "rows below the header"),
}
TAKEN = {
    "columns too many": (lambda f: f.assign(zz=1), ""),
    "no target": (lambda f: f.drop(columns="y"), ""),
    "another order": (lambda f: f[["y", "when", "c", "b", "a"]], ""),
    "one row": (lambda f: f.head(1), ""),
    "an empty column": (lambda f: f.assign(a=np.nan), ""),
    "new categories": (lambda f: f.assign(c="new"), "column 'c' (40): new or rare categories"),
    "a word among numbers": (lambda f: f.astype({"a": object}).assign(a=["oops", *f["a"][1:]]), "'oops'"),
    "infinity": (lambda f: f.assign(a=np.inf), "column 'a' (40): infinite values"),
    "1e300": (lambda f: f.assign(a=1e300), "column 'a' (40): values beyond 1e36"),
}


@pytest.mark.parametrize("rung", ["multilayer perceptron", "logistic regression", "boosted trees"])
def test_new_rows_of_every_kind(rung, finished, capsys):
    choose(finished, rung)
    frame = pd.read_csv("a.csv")
    for change, word in CHANGES.values():
        change(frame).to_csv("new.csv", index=False)
        refused(capsys, "predict", "run", "new.csv", words=[word])
    for change, word in TAKEN.values():
        new = change(frame)
        new.to_csv("new.csv", index=False)
        code, out, err = gradus(capsys, "predict", "run", "new.csv")
        assert code == 0 and word in err and (word or not err)
        answers = pd.read_csv(io.StringIO(out))
        assert len(answers) == len(new) and answers["probability"].between(0.5, 1).all()


def test_what_is_no_table_like_the_one_fitted(finished, capsys):
    np.savez("images.npz", x=np.zeros((5, 8, 8), "u1"))
    Path("empty.csv").write_text("")
    refused(capsys, "predict", "run", "images.npz", words=["a table, as the run was fitted on, got images"])
    refused(capsys, "predict", "run", "digits", words=["got images"])
    refused(capsys, "predict", "run", "empty.csv", words=["which is empty"])
    refused(capsys, "predict", "run", "run", words=["got none"])


@pytest.mark.parametrize(
    ("out", "word"),
    [
        ("x.txt", "'x.txt'"),
        ("no/x.csv", "none of that name"),
        ("a.csv/x.csv", "a file of that name"),
        ("", "empty name"),
    ],
)
def test_answers_that_cannot_be_written(out, word, finished, capsys):
    refused(capsys, "predict", "run", "a.csv", "--out", out, words=[word])


# ---- damaged runs ----


def damage(path, how):
    data = path.read_bytes()
    middle = len(data) // 2
    if how == "missing":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"cut": data[:middle], "flipped": flipped, "empty": b"", "deep": b"[" * 100_000}[how])


@pytest.mark.parametrize("how", ["cut", "flipped", "missing", "empty", "deep", "folder"])
@pytest.mark.parametrize("pattern", ["model/estimator.json", "model/*.safetensors"])
def test_a_damaged_model_is_refused_by_name(pattern, how, finished, capsys):
    (path,) = finished.glob(pattern)
    damage(path, how)
    refused(capsys, "predict", "run", "a.csv", words=["run/model"])


@pytest.mark.parametrize("how", ["cut", "missing", "empty", "deep", "folder"])
def test_a_damaged_record_is_refused(how, finished, capsys):
    damage(finished / "run.json", how)
    for command in (["predict", "run", "a.csv"], ["resume", "run"], ["inspect", "run"]):
        refused(capsys, *command)


def test_a_run_without_its_model_or_its_choice(finished, capsys):
    shutil.rmtree(finished / "model")
    refused(capsys, "predict", "run", "a.csv", words=["run/model", "fit again"])
    choose(finished, "crystal ball")
    refused(capsys, "predict", "run", "a.csv", words=["run.json"])


def test_what_a_newer_version_wrote_is_refused(finished, capsys):
    path = finished / "model" / "estimator.json"
    plain = json.loads(path.read_text()) | {"format": 99, "gradus": "9.9"}
    path.write_text(json.dumps(plain | {"sha256": _seal(plain)}))
    refused(capsys, "predict", "run", "a.csv", words=["format 99, written by gradus 9.9", "upgrade"])
    record = json.loads((finished / "run.json").read_text()) | {"format": 99}
    (finished / "run.json").write_text(json.dumps(record))
    for command in (["predict", "run", "a.csv"], ["resume", "run"], ["inspect", "run"]):
        refused(capsys, *command, words=["format 99", "upgrade"])
    code, out, _ = gradus(capsys, "runs", ".")
    assert code == 0 and "damaged: format 99" in out


# ---- resuming ----


def test_a_stopped_run_goes_on_and_a_finished_one_has_nothing_to_do(finished, capsys):
    stopped(finished)
    refused(capsys, "predict", "run", "a.csv", words=["one that is stopped", "gradus resume run"])
    assert gradus(capsys, "resume", "run")[0] == 0
    after = (finished / "run.json").read_bytes()
    assert gradus(capsys, "resume", "run")[0] == 0
    assert (finished / "run.json").read_bytes() == after


def test_a_run_whose_data_changed_is_not_resumed(finished, capsys):
    stopped(finished)
    text = Path("a.csv").read_text()
    before = (finished / "run.json").read_bytes()
    Path("a.csv").write_text(text + "1,2,x,2024-01-15,pos\n")
    refused(capsys, "resume", "run", words=["a.csv as it was when the run began", "other contents"])
    Path("a.csv").write_text(text.replace(",y\n", ",why\n", 1))
    refused(capsys, "resume", "run", words=["'y'"])
    Path("a.csv").rename("b.csv")
    refused(capsys, "resume", "run", words=["does not exist", "did you mean 'b.csv'"])
    assert (finished / "run.json").read_bytes() == before


CONFIGS = {
    "a wrong value": (lambda s: s.replace("max_epochs: 1", "max_epochs: lots"), ["max_epochs", "'lots'"]),
    "a wrong seed": (lambda s: s.replace("\nseed: 0", "\nseed: -1"), ["4294967295", "-1"]),
    "an unknown name": (lambda s: s + "zork: 3\n", ["'zork'"]),
    "no YAML": (lambda s: s.replace("max_epochs: 1", "max_epochs: [1"), ["settings as YAML", "line"]),
    "code": (lambda s: '!!python/object/apply:os.system ["touch ran"]', ["settings as YAML"]),
    "half of it": (lambda s: s[: s.index("\nseed:")], ["none called seed"]),
    "nothing": (lambda s: "", ["none called source"]),
    "a bomb": (lambda s: s.replace("max_epochs: 1", "max_epochs: &a [&b [&c [x, x], *c, *c], *b, *b]"), ["nesting"]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_damaged_settings_are_refused(case, finished, capsys):
    stopped(finished)
    change, words = CONFIGS[case]
    path = finished / "config.yaml"
    text = path.read_text()
    path.write_text(change(text))
    assert path.read_text() != text
    refused(capsys, "resume", "run", words=words)
    assert not Path("ran").exists()


def test_a_run_with_no_intact_checkpoint_left_is_refused_and_stays_as_it_is(finished, capsys):
    stopped(finished)
    before = (finished / "run.json").read_bytes()
    for path in finished.glob("checkpoints/main/*/state.safetensors"):
        damage(path, "flipped")
    refused(capsys, "resume", "run", words=["an intact checkpoint", "state.safetensors", "remove"], progress=True)
    assert (finished / "run.json").read_bytes() == before


def test_the_second_process_names_the_first(finished, capsys):
    stopped(finished)

    def hold():
        with RunLock(finished):
            (finished.parent / "held").touch()
            time.sleep(60)

    pid = forks.start(hold)
    try:
        wait_for(lambda: Path("held").exists())
        refused(capsys, "resume", "run", words=[f"process {pid} on "])
    finally:
        forks.kill(pid)
    assert gradus(capsys, "resume", "run")[0] == 0


# ---- disks ----


def test_a_full_disk_stops_the_run_and_leaves_no_temporaries(tmp_path, capsys):
    Path("a.csv").write_text(table())
    with forks.small_disk(tmp_path / "disk"):
        code, _, err = gradus(capsys, "fit", "a.csv", "--set", "hidden=600,600", "--out", "disk/run")
        assert code == 2
        assert err.splitlines()[-1].startswith("error: expected to write disk/run/") and "a full disk" in err
        record = json.loads(Path("disk/run/run.json").read_text())
        assert record["status"] == "failed" and "a full disk" in record["error"]
        assert not [p for p in Path("disk").rglob("*") if "tmp" in p.name]


def test_a_folder_without_rights():
    home = forks.public_folder()
    try:
        (home / "a.csv").write_text(table())
        (home / "secret.csv").write_text(table())
        (home / "secret.csv").chmod(0)
        (home / "locked").mkdir(mode=0o555)
        before = tree(home)

        def work():
            forks.as_nobody()
            os.chdir(home)
            for arguments, word in (
                (["fit", "a.csv", "--out", "locked/run"], "expected to write locked/run, got no permission"),
                (["fit", "secret.csv"], "without permission"),
            ):
                with contextlib.redirect_stderr(io.StringIO()) as said:
                    assert run(arguments) == 2
                assert word in said.getvalue() and said.getvalue().count("\n") == 1, said.getvalue()

        assert forks.run(work) == 0
        assert tree(home) == before
    finally:
        shutil.rmtree(home)


# ---- signals and pipes ----


def wait_for(happened, seconds=60.0):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def begin(*arguments, patch=lambda: None):
    """Run the command in a child of its own, its words in ``said``; return the process id."""

    def work():
        patch()
        with Path("said").open("w", buffering=1) as said, contextlib.redirect_stderr(said):
            with contextlib.redirect_stdout(io.StringIO()):
                code = run(list(arguments))
        os._exit(code)

    return forks.start(work)


LONG = ["fit", "a.csv", "--out", "run", *QUICK[2:], "--set", "max_epochs=1000000", "--set", "early_stopping=false"]


def epochs():
    path = Path("run/metrics.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def status():
    return json.loads(Path("run/run.json").read_text())["status"]


def test_ctrl_c_while_the_network_trains_keeps_the_best_so_far(capsys):
    Path("a.csv").write_text(table())
    pid = begin(*LONG)
    wait_for(lambda: epochs() >= 3)
    os.kill(pid, signal.SIGINT)
    assert forks.finish(pid) == 0
    assert status() == "finished" and Path("run/report.html").exists()
    assert gradus(capsys, "predict", "run", "a.csv")[0] == 0


def slow_regression():
    from gradus.practice import baselines

    baselines.LogisticRegression.fit = lambda self, X, y: time.sleep(60)


@pytest.mark.parametrize(("signals", "code"), [([signal.SIGINT], 130), ([signal.SIGTERM] * 3, 143)])
def test_a_signal_while_a_classical_rung_is_fitted_stops_the_run(signals, code, capsys):
    Path("a.csv").write_text(table())
    pid = begin(*LONG[:-4], "--set", "max_epochs=1", patch=slow_regression)
    wait_for(lambda: Path("said").exists() and "most frequent class" in Path("said").read_text())
    time.sleep(0.2)
    for number in signals:
        os.kill(pid, number)
    assert forks.finish(pid) == code
    assert status() == "stopped"
    said = Path("said").read_text()
    assert "gradus resume run" in said and "stopped" in said.splitlines()[-1] and "Traceback" not in said
    assert gradus(capsys, "resume", "run")[0] == 0
    assert status() == "finished"


def test_a_second_sigterm_changes_nothing(capsys):
    Path("a.csv").write_text(table())
    pid = begin(*LONG)
    wait_for(lambda: epochs() >= 3)
    for _ in range(3):
        os.kill(pid, signal.SIGTERM)
    assert forks.finish(pid) == 143
    assert status() == "stopped"
    assert list(Path("run/checkpoints/main").glob("step_*")) and not list(Path("run").rglob("*gradus-tmp*"))


def test_a_killed_run_is_listed_as_stopped(capsys):
    Path("a.csv").write_text(table())
    pid = begin(*LONG)
    wait_for(lambda: epochs() >= 1)
    assert "running" in gradus(capsys, "runs", ".", "--json")[1]
    forks.kill(pid)
    assert status() == "running"
    (row,) = json.loads(gradus(capsys, "runs", ".", "--json")[1])
    assert row["status"] == "stopped"


def test_the_help_says_what_signals_do(capsys):
    _, out, _ = gradus(capsys, "fit", "--help")
    assert "Ctrl-C" in out and "130" in out and "143" in out


def shell(script):
    code = "import sys; from gradus.cli.main import main; sys.argv[0] = 'gradus'; main()"
    gradus = f"{sys.executable} -c {json.dumps(code)}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__import__("gradus").__file__).parents[1])}
    return subprocess.run(
        ["bash", "-c", script.replace("gradus", gradus)], capture_output=True, text=True, env=environment
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_pipes_that_close_and_streams_that_are_closed():
    Path("a.csv").write_text(table())
    assert shell("gradus book | true; exit ${PIPESTATUS[0]}").returncode == 1
    assert shell("gradus book >&-").returncode == 0
    assert shell("gradus book 2>&- <&-").returncode == 0
    full = shell("gradus book > /dev/full")
    assert full.returncode == 2 and full.stderr.startswith("error: expected to read or write, got no space left")
    latin = shell("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 gradus book 8.5")
    assert latin.returncode == 0 and r"\xa7" in latin.stdout
    for done in (full, latin):
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_run_through_pipes():
    Path("a.csv").write_text(table())
    fit = f"gradus fit a.csv {' '.join(QUICK)}"
    done = shell(f"{fit} --out one <&-")
    assert done.returncode == 0 and "report" in done.stdout
    assert shell(f"{fit} --out two >&-").returncode == 0
    assert shell(f"{fit} --out three | true; exit ${{PIPESTATUS[0]}}").returncode == 1
    for name in ("one", "two", "three"):
        assert json.loads(Path(name, "run.json").read_text())["status"] == "finished"
    assert shell("gradus fit nowhere.csv").returncode == 2
