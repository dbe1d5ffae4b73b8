"""What looks bad and is not works to the end, with a note; new data are held against those fitted."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clumsy import QUICK, choose, gradus, pictures, refused, repeated, table, tree, truncate

pytestmark = pytest.mark.usefixtures("here")


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
    assert {"report.html", "README.md", "config.yaml", "data.json"} <= set(tree(Path("run")))
    assert Path("run/model/estimator.json").is_file()
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
    "few rows of few numbers": (table(20, y=repeated(0, 1, 2, 3, 4, n=20)), ["regression"], 20),
    "digits of other scripts": ("a;b;y\n" + "".join(f"１２;{i},5;{'uv'[i % 2]}\n" for i in range(40)), ["commas"], 40),
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


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_targets_of_any_size_get_an_interval(scale, capsys):
    Path("a.csv").write_text(table(y=np.linspace(1, 9, 40) * scale))
    works(capsys, "a.csv", words=["regression"])
    choose(Path("run"), "multilayer perceptron")
    code, out, _ = gradus(capsys, "predict", "run", "a.csv")
    answers = pd.read_csv(io.StringIO(out))
    assert code == 0 and (answers["low"] < answers["prediction"]).all()
    assert (answers["prediction"] < answers["high"]).all() and np.isfinite(answers / scale).to_numpy().all()


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
    assert "note image sizes (23): scaled to 6x5" in err and "damaged images: skipped: a/0.png" in err
    choose(Path("run"), "convolutional network")
    np.savez("other.npz", x=np.zeros((3, 9, 9, 3), "u1"))
    refused(capsys, "predict", "run", "other.npz", words=["(6, 5, 3)", "(9, 9, 3)"], progress=True)


# ---- predicting ----

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
