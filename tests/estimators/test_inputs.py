"""From a user's table to single precision: what is lost there is told."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from gradus.estimators import inputs
from gradus.estimators.inputs import check_table
from gradus.estimators.mlp import MLPRegressor
from gradus.research.autoregressive import RealNVP


def table(shift, rows=400, seed=0):
    X = np.random.default_rng(seed).normal(size=(rows, 3))
    X[:, 1] += shift
    return X


def told(X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_table(MLPRegressor(), X, reset=True)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame, np.ndarray.tolist])
def test_a_column_far_from_zero_is_told(form):
    (message,) = told(form(table(1e8)))
    assert "got column 1 of mean 1e+08 and deviation 0.9" in message and "are 8 apart" in message
    assert told(form(table(3e6)))
    assert not told(form(table(3e5)))  # a thirtieth of a deviation: the density is right to a thousandth
    assert not told(form(StandardScaler().fit_transform(table(1e8))))


def test_digits_that_are_not_there_cannot_be_lost():
    assert not told(table(1e8).astype(np.float32))  # lost before
    assert not told(np.full((50, 2), 1e9 + 0.1))  # constant
    assert not told(np.full((50, 2), 0.1) + np.arange(50)[:, None] * 1e-17)  # constant but for rounding
    assert not told(1e7 + np.arange(100.0)[:, None])  # whole numbers that single precision has
    assert told(1e9 + np.arange(100.0)[:, None])
    assert not told(np.array([[3e38, 1.0], [-3e38, 2.0]]))


def test_it_is_told_once_when_fitting_and_named_as_the_frame_does():
    frame = pd.DataFrame(table(1e8, 60), columns=["age", "stamp", "size"])
    with pytest.warns(UserWarning, match="got column 'stamp' of mean"):
        model = RealNVP(max_epochs=1, random_state=0).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score_samples(frame)


def test_ordinary_tables_are_not_looked_at_twice(monkeypatch):
    monkeypatch.setattr(inputs, "_safe_indexing", lambda *_: pytest.fail("a second look"))
    X = load_digits().data
    assert not told(X) and not told(table(100.0)) and not told(np.zeros((10, 3)))
