"""The ladder on real tables and pictures, and on rungs made to fail, to warn, and to tempt."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from gradus.core.errors import GradusError, InputError, SettingError
from gradus.practice.baselines import baselines
from gradus.practice.contests import Labelled, Part
from gradus.practice.ladder import Rung, climb
from gradus.practice.preparation import BoostedTrees, ColumnReader, PixelScaler, table_to_numbers


class Fixed(ClassifierMixin, BaseEstimator):
    """Answers right on the first ``right`` rows of each part and wrong after; keeps a diary."""

    diary: list = []  # noqa: RUF012 - shared on purpose

    def __init__(self, rights=(), name=""):
        self.rights, self.name = rights, name

    def fit(self, X, y):
        self.diary.append((self.name, "fit"))
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X):
        self.diary.append((self.name, len(X)))
        right = dict(self.rights)[len(X)]
        return np.where(np.arange(len(X)) < right, X[:, 0], 1 - X[:, 0])


def part(n, seed=0):
    x = np.random.default_rng(seed).integers(0, 2, (n, 1))
    return Part(x, x[:, 0])


def test_the_choice_is_made_on_validation_before_the_test_part_is_touched():
    Fixed.diary.clear()
    rungs = [
        Rung("tempting", "classical", Fixed(((50, 30), (60, 60)), "tempting"), "best on test"),
        Rung("chosen", "network", Fixed(((50, 45), (60, 40)), "chosen"), "best on validation"),
    ]
    ladder = climb(rungs, Labelled(part(40), part(50), part(60), "accuracy"))
    assert ladder.chosen == "chosen"
    assert ladder.row("chosen").valid.value == 0.9 and ladder.row("tempting").test.value == 1.0
    assert Fixed.diary == [
        ("tempting", "fit"), ("tempting", 50), ("chosen", "fit"), ("chosen", 50),
        ("tempting", 60), ("chosen", 60),
    ]  # fmt: skip
    assert ladder.against["tempting"].better == "second"
    assert "tempting did better, but the choice was made before" in ladder.verdict()


def test_equal_rungs_go_to_the_simpler_and_are_called_a_tie():
    rungs = [Rung(n, "classical", Fixed(((50, 40), (60, 50)), n), "") for n in ("simple", "large")]
    ladder = climb(rungs, Labelled(part(40), part(50), part(60), "accuracy"))
    assert ladder.chosen == "simple" and ladder.ties == ["large"]
    assert "large cannot be told from it on 60 rows" in ladder.verdict()


class Failing(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise MemoryError("no room for 3 GB\nsecond line")


class Warning_(Fixed):
    def fit(self, X, y):
        warnings.warn("the weather is bad", UserWarning, stacklevel=1)
        return super().fit(X, y)


def test_a_failing_rung_is_reported_and_warnings_become_notes():
    rungs = [
        Rung("broken", "network", Failing(), ""),
        Rung("noisy", "classical", Warning_(((50, 40), (60, 50))), ""),
        Rung("slow", "classical", LogisticRegression(max_iter=1), ""),
    ]
    seen = []
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 1)) * 100
    parts = [Part(X[i], (X[i, 0] > 0).astype(int)) for i in (slice(0, 40), slice(40, 90), slice(90, 150))]
    ladder = climb(rungs, Labelled(*parts, "accuracy"), on_rung=lambda row: seen.append((row.name, row.status)))
    assert seen == [("broken", "fitting"), ("broken", "failed"), ("noisy", "fitting"), ("noisy", "done"),
                    ("slow", "fitting"), ("slow", "done")]  # fmt: skip
    broken, noisy, slow = ladder.rows
    assert broken.error == "MemoryError: no room for 3 GB" and broken.valid is None and broken.test is None
    assert noisy.notes == ["the weather is bad"]
    assert slow.notes == ["stopped before it converged; more iterations may still improve it"]
    assert all(row.fit_seconds >= 0 for row in ladder.rows)


def test_deprecations_are_not_swallowed():
    class Old(Fixed):
        def fit(self, X, y):
            warnings.warn("going away", FutureWarning, stacklevel=1)
            return super().fit(X, y)

    with pytest.warns(FutureWarning, match="going away"):
        climb(
            [Rung("old", "classical", Old(((50, 40), (60, 40))), "")], Labelled(part(9), part(50), part(60), "accuracy")
        )


def test_no_rung_left_is_an_error_with_the_reason():
    with pytest.raises(GradusError, match="no room for 3 GB"):
        climb([Rung("broken", "network", Failing(), "")], Labelled(part(9), part(9), part(9), "accuracy"))
    with pytest.raises(SettingError, match="different names"):
        climb([Rung("a", "trivial", Failing(), "")] * 2, Labelled(part(9), part(9), part(9), "accuracy"))
    with pytest.raises(SettingError, match="task classification or regression"):
        baselines("ranking", "table", 10, 2)


def test_a_rung_that_asks_for_the_validation_part_gets_it():
    class Curious(Fixed):
        def fit(self, X, y, X_val=None, y_val=None):
            assert len(X_val) == len(y_val) == 50
            return super().fit(X, y)

    ladder = climb(
        [Rung("a", "network", Curious(((50, 40), (60, 40))), "")], Labelled(part(9), part(50), None, "accuracy")
    )
    assert ladder.rows[0].status == "done" and ladder.row("a").test is None


def digits(kind):
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8, 1).astype(np.uint8) if kind == "images" else X
    train, rest, y_train, y_rest = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    valid, test, y_valid, y_test = train_test_split(rest, y_rest, test_size=0.5, random_state=0, stratify=y_rest)
    return (train, y_train), (valid, y_valid), (test, y_test)


@pytest.mark.parametrize("kind", ["table", "images"])
def test_digits(kind):
    train, valid, test = digits(kind)
    ladder = climb(baselines("classification", kind, len(train[0]), 64), Labelled(train, valid, test, "accuracy"))
    trivial, linear = ladder.rows[:2]
    share = np.bincount(test[1]).max() / len(test[1])
    assert trivial.test.value == pytest.approx(share, abs=0.01)
    assert linear.test.value > 0.93 and linear.notes == []
    assert all(row.status == "done" and row.test.value > 0.93 for row in ladder.rows[1:])
    assert set(ladder.test_scores) == {"accuracy", "balanced_accuracy", "f1", "log_loss", "brier", "roc_auc"}
    assert ladder.test_scores["accuracy"] == ladder.row(ladder.chosen).test


def messy(n=400, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.choice(["red", "green", "blue"], n)
    when = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    frame = pd.DataFrame({
        "size": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
        "kind": np.where(rng.random(n) < 0.1, None, kind),
        "when": when.strftime("%Y-%m-%d"),
        "paid": rng.choice(["yes", "no"], n),
        "serial": [f"id-{i:06d}" for i in range(n)],
        "always": 1,
        "never": np.nan,
        "story": [f"the {k} thing number {i} was seen near the old house" for i, k in enumerate(kind)],
        "huge": [f"c{v}" for v in rng.integers(0, 350, n)],
    })  # fmt: skip
    y = 3.0 * (kind == "red") + np.nan_to_num(frame["size"]) + (when.year == 2021) * 2 + 0.1 * rng.normal(size=n)
    return frame, y


def test_a_messy_table_is_learned_from():
    X, y = messy()
    train, valid, test = ((X[i], y[i]) for i in (slice(0, 250), slice(250, 320), slice(320, 400)))
    ladder = climb(baselines("regression", "table", 250, X.shape[1]), Labelled(train, valid, test, "r2"))
    mean, ridge, trees = ladder.rows
    assert abs(mean.test.value) < 0.1
    assert ridge.test.value > 0.6 and trees.test.value > 0.6
    assert all(row.status == "done" and not row.notes for row in ladder.rows)


def test_the_reader_sorts_columns_and_keeps_their_kinds_for_new_rows():
    X, _ = messy()
    reader = ColumnReader().fit(X)
    new = X.head(3).copy()
    new["size"], new["kind"], new["when"] = (
        ["oops", 2.0, np.inf],
        ["violet", None, "red"],
        ["2020-01-02", None, "?"],
    )
    read = reader.transform(new.astype({"size": object}))
    assert np.isnan(read["number:size"].to_numpy()[[0, 2]]).all() and read["number:size"].iloc[1] == 2.0
    assert read["category:kind"].tolist() == ["violet", "", "red"]
    assert set(read["number:paid"]) <= {0.0, 1.0}
    assert not {c for c in read.columns if any(n in c for n in ("serial", "always", "never"))}
    assert "text:story" in read.columns
    with pytest.raises(InputError, match="the column 'kind'"):
        reader.transform(X.drop(columns="kind"))
    with pytest.raises(InputError, match="at least one usable column"):
        ColumnReader().fit(pd.DataFrame({"always": [1] * 30}))


def test_dates_become_days_months_and_weekdays():
    read = ColumnReader().fit_transform(pd.DataFrame({"when": pd.to_datetime(["2000-01-02", "2021-03-04"])}))
    assert read["number:when days"].tolist() == [1.0, 7733.0]
    assert read["number:when month"].tolist() == [1, 3] and read["number:when weekday"].tolist() == [6, 3]


def test_unseen_categories_and_more_than_254_of_them_pass_through_both_preparations():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"name": [f"c{i}" for i in rng.integers(0, 300, 2000)], "x": rng.normal(size=2000)})
    y = (X["x"] > 0).to_numpy()
    new = pd.DataFrame({"name": ["never seen", "c1"], "x": [3.0, -3.0]})
    trees = BoostedTrees(task="classification").fit(X, y)
    assert trees.predict(new).tolist() == [True, False]
    linear = table_to_numbers().fit(X, y)
    assert linear.transform(new).shape[1] <= 201 + 1


def test_a_class_of_one_row_does_not_stop_the_trees():
    X = np.random.default_rng(0).normal(size=(2500, 2))
    y = np.where(X[:, 0] > 0, "a", "b")
    y[0] = "only once"
    assert BoostedTrees(task="classification").fit(X, y).predict_proba(X[:2]).shape == (2, 3)


def test_weights_reach_every_rung():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = (X[:, 0] > 0).astype(int)
    lies = np.arange(400) % 2 == 0
    taught = np.where(lies, 1 - y, y)
    train = Part(X, taught, np.where(lies, 0.01, 1.0))
    ladder = climb(baselines("classification", "table", 400, 2), Labelled(train, (X, y), None, "accuracy"))
    assert [row.status for row in ladder.rows] == ["done"] * 3
    assert all(row.valid.value > 0.9 for row in ladder.rows[1:])
    without = climb(
        baselines("classification", "table", 400, 2)[1:2], Labelled(Part(X, taught), (X, y), None, "accuracy")
    )
    assert without.rows[0].valid.value < 0.8


def test_pixels_are_scaled_by_the_training_pictures():
    scaler = PixelScaler().fit(np.array([[[0, 4], [8, 16]]], dtype=np.uint8))
    assert scaler.transform(np.full((1, 2, 2), 32, dtype=np.uint8)).tolist() == [[2.0] * 4]
    with pytest.raises(InputError, match="images of shape"):
        PixelScaler().fit(np.zeros(3))


@pytest.mark.data
def test_ames(data_home):
    frame = pd.read_csv(data_home / "tabular" / "ames.csv.gz")
    X, y = frame.drop(columns="Sale_Price"), frame["Sale_Price"].to_numpy()
    order = np.random.default_rng(0).permutation(len(X))
    train, valid, test = ((X.iloc[i], y[i]) for i in np.split(order, [1800, 2350]))
    ladder = climb(baselines("regression", "table", 1800, X.shape[1]), Labelled(train, valid, test, "mae"))
    mean, ridge, trees = (row.test.value for row in ladder.rows)
    assert trees < ridge < 0.5 * mean  # dollars: about 16, 18 and 58 thousand
    assert ladder.against["mean"].better == "first"
