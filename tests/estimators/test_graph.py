"""`show_graph` of fitted estimators of several kinds."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, load_iris

from gradus import ImageClassifier, MLPClassifier, MLPRegressor, TabularRegressor
from gradus.core.errors import InputError


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def test_the_graph_ends_in_the_mean_loss_of_the_rows(iris):
    X, y = iris
    est = MLPClassifier(hidden=(8,), max_epochs=2, random_state=0, n_threads=1).fit(X, y)
    rows = slice(48, 56)  # two classes
    before = {name: value.clone() for name, value in est.network_.state_dict().items()}
    picture = est.show_graph(X[rows], y[rows]).picture
    expected = -np.log(est.predict_proba(X[rows])[np.arange(8), y[rows]]).mean()
    assert picture.nodes[-1].value.mean == pytest.approx(expected, rel=1e-4)
    assert picture.title == "MLPClassifier" and picture.notes == []
    assert {n.detail for n in picture.nodes if n.kind == "parameter"} == dict(est.network_.named_parameters()).keys()
    assert all(n.gradient for n in picture.nodes if n.kind == "parameter")
    assert [n.title for n in picture.nodes if n.kind == "input"] == ["inputs", "targets"]
    assert all(torch.equal(before[name], value) for name, value in est.network_.state_dict().items())
    assert all(p.grad is None for p in est.network_.parameters())


def test_without_targets_it_ends_in_the_output(iris):
    X, y = iris
    est = MLPRegressor(hidden=(8,), max_epochs=1, random_state=0, n_threads=1).fit(X, y.astype(float))
    picture = est.show_graph(X).picture
    assert picture.nodes[-1].value.shape[0] == 8
    assert "gradients are those of the sum of all outputs" in picture.notes


def test_a_table_of_numbers_needs_no_rows(iris):
    est = MLPClassifier(hidden=(8,), max_epochs=1, random_state=0, n_threads=1).fit(*iris)
    drawing = est.show_graph(marks={"head": "look here"})
    assert "the inputs are random numbers, as no rows were given" in drawing.picture.notes
    assert "look here" in drawing._repr_html_()


def test_others_say_what_to_pass(iris):
    X, y = iris
    frame = pd.DataFrame(X, columns=list("abcd"))
    est = TabularRegressor(hidden=(8,), max_epochs=1, random_state=0, n_threads=1).fit(frame, y.astype(float))
    with pytest.raises(InputError, match=r"est\.show_graph\(X\[:8\], y\[:8\]\)"):
        est.show_graph()
    assert est.show_graph(frame, y.astype(float)).picture.nodes[-1].value.shape == ()


def test_images():
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8)[:60]
    est = ImageClassifier(max_epochs=1, random_state=0, n_threads=1).fit(X, y[:60])
    picture = est.show_graph(X, y[:60]).picture
    assert any(n.title == "conv2d" for n in picture.nodes)
    assert all(n.gradient for n in picture.nodes if n.kind == "parameter")
