"""Planted wrong labels are counted and found; clean ones are left in peace."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.neighbors import KNeighborsClassifier

from gradus.core.errors import InputError
from gradus.practice.doctor.label_noise import label_noise


def spoiled(share, seed=0):
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    bad = rng.random(len(y)) < share
    return X, np.where(bad, (y + rng.integers(1, 10, len(y))) % 10, y), y, bad


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_the_share_of_planted_labels_is_within_a_hundredth_and_a_half(share):
    X, y, truth, bad = spoiled(share)
    found = label_noise(X, y)
    assert abs(found.share - bad.mean()) < 0.015
    assert bad[found.rows].mean() > 0.9  # of those named, wrong
    assert bad[found.rows].sum() > 0.9 * bad.sum()  # of those wrong, named
    hit = bad[found.rows]
    assert (found.suggested[hit] == truth[found.rows[hit]]).mean() > 0.95
    # the first are surer than the last
    assert bad[found.rows[: len(found.rows) // 2]].all()


def test_clean_digits_are_clean():
    X, y = load_digits(return_X_y=True)
    found = label_noise(X, y)
    assert found.share < 0.005
    assert len(found.rows) <= 9


def test_any_classifier_with_probabilities_and_words_for_classes():
    X, y, _, bad = spoiled(0.1)
    names = np.array([f"class {k}" for k in range(10)])
    found = label_noise(X.reshape(-1, 8, 8), names[y], estimator=KNeighborsClassifier(15))
    assert abs(found.share - bad.mean()) < 0.02
    assert set(found.suggested) <= set(names)
    assert found.confused.shape == (10, 10)
    assert "% of the targets look wrong" in found.sentence()


def test_a_rule_in_the_noise_is_seen_in_the_table():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    threes = np.flatnonzero(y == 3)
    moved = rng.choice(threes, 30, replace=False)
    y[moved] = 5
    found = label_noise(X, y)
    off = found.confused - np.diag(np.diag(found.confused))
    assert np.unravel_index(off.argmax(), off.shape) == (5, 3)
    assert abs(found.share - 30 / len(y)) < 0.006


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.zeros(150)}, "two or more classes"),
        ({"y": np.zeros((150, 1))}, "one class a row"),
        ({"folds": 51}, "a row for every fold"),
        ({"estimator": Perceptron()}, "predict_proba"),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(change, words):
    X, y = load_iris(return_X_y=True)
    settings = {"X": X, "y": y, "estimator": LogisticRegression(max_iter=500)} | change
    with pytest.raises(InputError, match=words):
        label_noise(settings.pop("X"), settings.pop("y"), **settings)
