"""Exhibits: numbers against scikit-learn, figures against Plotly's own schema, labels without markup."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image
from sklearn import metrics as sk

from gradus.core.errors import InputError
from gradus.estimators.exhibits import (
    Picture,
    calibration,
    confusion_matrix,
    example_pictures,
    feature_summary,
    learning_curves,
    per_class,
    permutation_importance,
    residuals,
    worst_errors_pictures,
    worst_errors_rows,
)

RNG = np.random.default_rng(0)
NAMES = np.array(["ant", "bee", "<b>cow</b>"])
TRUE = NAMES[RNG.integers(0, 3, 200)]
SAID = np.where(RNG.random(200) < 0.7, TRUE, NAMES[RNG.integers(0, 3, 200)])


def drawable(exhibit):
    """Plotly's own check of names and values; what is stored must be JSON."""
    go.Figure(json.loads(json.dumps(exhibit.figure, allow_nan=False)))
    return exhibit


def test_confusion_counts_are_scikit_learns():
    shown = drawable(confusion_matrix(TRUE, SAID, NAMES))
    assert (shown.table.iloc[:, 1:].to_numpy() == sk.confusion_matrix(TRUE, SAID, labels=NAMES)).all()
    assert shown.table["true class"].tolist() == NAMES.tolist()
    heat = shown.figure["data"][0]
    assert np.sum(heat["z"], axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert heat["x"][2] == "&lt;b&gt;cow&lt;/b&gt;"  # Plotly would read the tag


def test_classes_are_ordered_as_numbers_and_unseen_ones_come_last():
    assert confusion_matrix([10, 9, 2], [10, 9, 2]).table["true class"].tolist() == [2, 9, 10]
    assert confusion_matrix([1, 0], [1, 7], classes=[0, 1]).table["true class"].tolist() == [0, 1, 7]


def test_many_classes_are_listed_by_their_worst_pairs():
    true = np.arange(40).repeat(3)
    said = true.copy()
    said[:2] = 7
    said[9] = 0
    shown = confusion_matrix(true, said)
    assert shown.figure is None
    assert shown.table.to_numpy().tolist() == [[0, 7, 2], [3, 0, 1]]


def test_per_class_is_scikit_learns():
    table = per_class(TRUE, SAID).table.set_index("class").loc[NAMES]
    precision, recall, f1, rows = sk.precision_recall_fscore_support(TRUE, SAID, labels=NAMES)
    assert table["precision"].to_numpy() == pytest.approx(precision)
    assert table["recall"].to_numpy() == pytest.approx(recall)
    assert table["F1"].to_numpy() == pytest.approx(f1)
    assert table["true rows"].to_numpy().tolist() == rows.tolist()
    assert ((table["recall low"] < table["recall"]) & (table["recall"] < table["recall high"])).all()
    assert per_class(TRUE, SAID).table["F1"].is_monotonic_increasing
    never = per_class(["a", "a"], ["a", "b"]).table.set_index("class")
    assert np.isnan(never.loc["b", "recall"]) and never.loc["b", "precision"] == 0


def test_calibration_looks_at_the_second_of_two_classes_and_at_the_top_of_more():
    q = np.array([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    two = drawable(calibration(["no", "yes", "yes", "no"], q, ["no", "yes"]))
    assert two.table["said"].tolist() == pytest.approx([0.1, 0.8])
    assert two.table["came true"].tolist() == pytest.approx([0.0, 2 / 3])
    assert "of yes" in two.caption and "error 0.125" in two.caption
    three = calibration(["a", "b"], [[0.65, 0.2, 0.15], [0.65, 0.2, 0.15]], ["a", "b", "c"])
    assert three.table["came true"].tolist() == [0.5] and three.table["rows"].tolist() == [2]
    with pytest.raises(InputError, match=r"shape \(2, 3\)"):
        calibration(["a", "b"], [[0.5, 0.5]], ["a", "b", "c"])


def test_residuals_show_all_errors_and_some_points():
    y = RNG.normal(size=5000)
    shown = drawable(residuals(y, y + 1, "price <i>"))
    points = next(t for t in shown.figure["data"] if t.get("mode") == "markers")
    bars = next(t for t in shown.figure["data"] if t["type"] == "bar")
    assert len(points["x"]) == 2000 and sum(bars["y"]) == 5000
    assert points["y"][7] - points["x"][7] == pytest.approx(1, abs=1e-5)
    assert shown.table.set_index("error (predicted - true)").loc["mean", "value"] == pytest.approx(1)
    assert "<i>" not in json.dumps(shown.figure) and "2,000 of 5,000" in shown.caption
    with pytest.raises(InputError):
        residuals([1.0, 2.0], [[1.0], [2.0]])


def test_learning_curves_pair_training_with_validation_and_leave_gaps():
    history = [
        {"epoch": 0, "step": 10, "loss": 2.0, "valid_loss": 2.2, "valid_accuracy": 0.5, "seconds": 1.0},
        {"epoch": 1, "step": 20, "loss": float("nan"), "valid_loss": 2.0, "learning_rate": 0.1, "note": "x"},
    ]
    shown = drawable(learning_curves(history, best_epoch=1))
    names = [t["name"] for t in shown.figure["data"]]
    assert names == ["training loss", "validation loss", "validation accuracy"]
    loss, valid, accuracy = shown.figure["data"]
    assert loss["x"] == [1, 2] and loss["y"] == [2.0, None] and accuracy["y"] == [0.5, None]
    assert loss["yaxis"] == valid["yaxis"] != accuracy["yaxis"]
    assert shown.figure["layout"]["shapes"][0]["x0"] == 2 and "epoch 2" in shown.caption
    assert "learning_rate" in shown.table and "seconds" not in shown.table
    assert len(learning_curves([{"epoch": i, "loss": 1.0} for i in range(1000)]).table) <= 42
    with pytest.raises(InputError):
        learning_curves([])


def prediction(**given):
    return SimpleNamespace(**({"labels": None, "probabilities": None, "classes": None, "values": None} | given))


def test_the_worst_pictures_are_the_most_surprising_and_only_wrong_ones():
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((4, 5, 5, 1), dtype=np.uint8)
    q = np.array([[0.6, 0.4], [0.9, 0.1], [0.99, 0.01], [0.45, 0.55]])
    p = prediction(labels=np.array(["a", "a", "a", "b"]), probabilities=q, classes=np.array(["a", "b"]))
    shown = worst_errors_pictures(images, ["b", "b", "a", "b"], p)
    assert [picture.label for picture in shown.pictures] == ["true b, said a (90 %)", "true b, said a (60 %)"]
    assert np.asarray(Image.open(io.BytesIO(shown.pictures[0].png))).tolist() == [[85] * 5] * 5  # 1 of at most 3
    assert "2 of 4" in shown.caption
    right = worst_errors_pictures(images, ["a", "a", "a", "b"], p)
    assert right.pictures == () and "None of the 4" in right.caption


def test_the_worst_rows_keep_their_index_and_a_column_called_true():
    frame = pd.DataFrame({"true": [1, 2, 3], "size": [7, 8, 9]}, index=[10, 11, 12])
    shown = worst_errors_rows(frame, [0.0, 0.0, 0.0], prediction(values=np.array([1.0, -3.0, 2.0])), limit=2)
    assert shown.table["row"].tolist() == [11, 12] and shown.table["off by"].tolist() == [3.0, 2.0]
    assert shown.table["true (column)"].tolist() == [2, 3] and shown.table["size"].tolist() == [8, 9]
    classes = worst_errors_rows(frame, np.array(["a", "b", "c"]), prediction(labels=np.array(["a", "x", "c"])))
    assert classes.table["row"].tolist() == [11]


def test_columns_are_described():
    frame = pd.DataFrame(
        {
            "size": [1.0, 2.0, 6.0, None],
            "kind": ["a", "a", "b", "a"],
            "none": [None] * 4,
            "when": pd.to_datetime(["2024-01-01", "2025-01-01", None, "2024-06-01"]),
            "flag": [True, False, True, True],
        }
    )
    table = feature_summary(frame, {"size": "number"}).table.set_index("column")
    assert table.loc["size", "values"] == "1 to 6, median 2" and table.loc["size", "missing"] == "25 %"
    assert table.loc["kind", "values"] == "a (75 %), b (25 %)" and table.loc["kind", "missing"] == ""
    assert table.loc["when", "values"] == "2024-01-01 to 2025-01-01"
    assert table.loc["none", "values"] == "" and table.loc["none", "different"] == "0"
    assert table.loc["size", "kind"] == "number"
    wide = feature_summary(pd.DataFrame(np.zeros((2, 150))))
    assert len(wide.table) == 100 and "the first 100" in wide.caption


def test_examples_take_the_classes_in_turn():
    images = np.zeros((6, 3, 3, 3), dtype=np.uint8)
    shown = example_pictures(images, np.array([0, 0, 0, 1, 1, 2]), limit=4)
    assert [p.label for p in shown.pictures] == ["0", "1", "2", "0"]
    assert [p.label for p in example_pictures(images, limit=2).pictures] == ["", ""]


def test_importance_finds_what_the_answer_uses():
    X = pd.DataFrame({"idle": RNG.normal(size=300), "used": RNG.normal(size=300), "kind": ["a", "b", "c"] * 100})
    y = X["used"].to_numpy() * 2
    rows = []

    def answer(frame):
        rows.append(len(frame))
        assert frame.columns.tolist() == X.columns.tolist() and set(frame["kind"]) == {"a", "b", "c"}
        return frame["used"] * 2

    shown = drawable(permutation_importance(answer, lambda t, p: -float(np.mean((t - p) ** 2)), X, y, repeats=4))
    table = shown.table.set_index("column")
    # a shuffled column differs from itself by twice its variance
    assert table.loc["used", "loss of score"] == pytest.approx(2 * np.var(y), rel=0.3)
    assert table.loc["idle", "loss of score"] == table.loc["kind", "loss of score"] == 0
    assert shown.table["column"][0] == "used" and rows[0] == 250
    assert X["used"].iloc[0] * 2 == y[0]  # the caller's frame is as it was


def test_pictures_keep_shape_and_brightness():
    colour = np.zeros((2, 3, 3), dtype=np.uint8)
    colour[0, 1] = [255, 128, 0]
    back = np.asarray(Image.open(io.BytesIO(Picture.of(colour, "x", 255).png)))
    assert (back == colour).all()
    grey = Picture.of(np.array([[0, 8], [16, 4]]), "x", 16)
    assert np.asarray(Image.open(io.BytesIO(grey.png))).tolist() == [[0, 128], [255, 64]]
    with pytest.raises(InputError, match="one picture"):
        Picture.of(np.zeros((2, 3, 3, 1)), "x")
