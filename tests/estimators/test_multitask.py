"""An estimator of several targets: kinds, gaps, agreement with single-target estimators, scikit-learn's contract."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from gradus.core.errors import InputError, SettingError
from gradus.estimators.mlp import MLPClassifier, MLPRegressor
from gradus.estimators.multitask import MultiTaskMLP

SMALL = {"hidden": (16,), "max_epochs": 30, "learning_rate": 0.01, "random_state": 0}


def data(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = pd.DataFrame(
        {
            "side": np.where(X[:, 0] > 0, "right", "left"),
            "size": 50 + 10 * X[:, 1] + rng.normal(size=n),
            "level": np.digitize(X[:, 2], [-0.5, 0.5]),
        }
    )
    return X, y


def test_kinds_are_read_and_answers_come_in_columns(tmp_path):
    X, y = data()
    model = MultiTaskMLP(**SMALL).fit(X, y)
    assert [t["kind"] for t in model.tasks_] == ["class", "number", "class"]
    found = model.predict(X)
    assert found.shape == (200, 3) and found.dtype == object
    assert set(found[:, 0]) == {"left", "right"} and set(found[:, 2]) == {0, 1, 2}
    assert np.mean(found[:, 0] == y["side"]) > 0.95 and np.corrcoef(found[:, 1].astype(float), y["size"])[0, 1] > 0.95
    proba = model.predict_proba(X)
    assert [p.shape for p in proba] == [(200, 2), (200, 3)]
    assert all(np.allclose(p.sum(1), 1) for p in proba)
    assert np.array_equal(model.tasks_[2]["classes"][proba[1].argmax(1)], found[:, 2].astype(int))
    assert model.score(X, y) > 0.93
    distribution = model.predict_distribution(X)
    residual = y["size"] - found[:, 1].astype(float)
    assert distribution.parts[1].stddev[0].item() == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-3)
    again = MultiTaskMLP.load(model.save(tmp_path / "model"))
    assert np.array_equal(again.predict(X), found)


def test_forms_of_targets_are_the_same_model():
    X, y = data()
    model = MultiTaskMLP(**SMALL, max_steps=20).fit(X, y)
    for form in (y.to_numpy(dtype=object), dict(y), {name: y[name].tolist() for name in y}):
        assert np.array_equal(clone(model).fit(X, form).predict(X), model.predict(X))
    numbers = y[["size", "level"]].to_numpy()  # one array of one type: whole numbers among numbers are classes
    assert [t["kind"] for t in clone(model).fit(X, numbers).tasks_] == ["number", "class"]
    told = clone(model).set_params(kinds=("number", "number")).fit(X, numbers)
    assert told.predict(X).dtype == np.float64 and [t["kind"] for t in told.tasks_] == ["number", "number"]
    with pytest.raises(InputError, match="a target of classes"):
        told.predict_proba(X)


@pytest.mark.parametrize("kind", ["class", "number"])
def test_one_target_is_the_estimator_of_that_target(kind):
    X, y = data()
    column = "side" if kind == "class" else "size"
    single = (MLPClassifier if kind == "class" else MLPRegressor)(**SMALL).fit(X, y[column])
    model = MultiTaskMLP(**SMALL).fit(X, y[[column]])
    if kind == "class":
        assert np.allclose(model.predict_proba(X), single.predict_proba(X), atol=1e-4)
    else:
        assert np.allclose(model.predict(X)[:, 0], single.predict(X), rtol=1e-3)
    assert model.score(X, y[[column]]) == pytest.approx(single.score(X, y[column]), abs=1e-3)


def test_rows_that_lack_one_target_teach_the_others():
    """A target seen in ten rows is learned through features that the other target's thousand rows shaped."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 10))
    hidden = np.tanh(2 * X[:, 0] * X[:, 1])
    y = pd.DataFrame({"many": hidden + 0.05 * rng.normal(size=1000), "few": 5 - 3 * hidden})
    y.loc[30:, "few"] = np.nan
    X_new = rng.normal(size=(500, 10))
    truth = 5 - 3 * np.tanh(2 * X_new[:, 0] * X_new[:, 1])
    settings = {"hidden": (64, 64), "max_epochs": 60, "learning_rate": 3e-3, "random_state": 0}
    both = MultiTaskMLP(**settings).fit(X, y)
    alone = MLPRegressor(**settings | {"max_epochs": 600}).fit(X[:30], y["few"][:30])
    error, error_alone = (np.mean((p - truth) ** 2) for p in (both.predict(X_new)[:, 1], alone.predict(X_new)))
    assert error < 0.6 * error_alone
    assert np.isfinite(both.score(X, y))


def test_gaps_of_every_kind_and_weights():
    X, y = data()
    gaps = y.astype(object)
    gaps.loc[::3, "side"] = None
    gaps.loc[1::3, "size"] = np.nan
    gaps.loc[2::5, "level"] = pd.NA
    model = MultiTaskMLP(**SMALL).fit(X, gaps)
    assert model.score(X, y) > 0.9
    weights = np.arange(200) % 2.0
    whole = MultiTaskMLP(**SMALL).fit(X, y, sample_weight=weights)
    part = MultiTaskMLP(**SMALL).fit(X[1::2], y[1::2])
    assert np.allclose(whole.predict_proba(X)[0], part.predict_proba(X)[0], atol=1e-5)


def test_weights_of_targets_say_what_matters():
    X, y = data(60)
    y["side"] = np.random.default_rng(5).permutation(y["side"])  # memory, not a rule
    scores = []
    for weights in ((10.0, 0.01, 0.01), (0.01, 10.0, 10.0)):
        model = MultiTaskMLP(**SMALL | {"hidden": (20,), "max_epochs": 300}, task_weights=weights).fit(X, y)
        scores.append(np.mean(model.predict(X)[:, 0] == y["side"]))
    assert scores[0] > scores[1]


def test_validation_early_stopping_and_resuming(tmp_path):
    X, y = data()
    X_val, y_val = data(seed=1)
    model = MultiTaskMLP(**SMALL, patience=3).fit(X, y, X_val=X_val, y_val=y_val)
    assert 0.5 < model.history_[-1]["valid_score"] <= 1 and model.best_epoch_ is not None
    held = MultiTaskMLP(**SMALL, early_stopping=True).fit(X, y)
    assert "valid_loss" in held.history_[0]
    kept = {"checkpoint": str(tmp_path), "checkpoint_every": 5, "max_epochs": 4, "batch_size": 64}
    whole = MultiTaskMLP(**SMALL | {"max_epochs": 4, "batch_size": 64}).fit(X, y)
    MultiTaskMLP(**SMALL | kept, max_steps=6).fit(X, y)
    assert np.array_equal(MultiTaskMLP(**SMALL | kept).fit(X, y).predict(X), whole.predict(X))


def test_inside_scikit_learns_machinery():
    X, y = data()
    pipe = make_pipeline(StandardScaler(), MultiTaskMLP(**SMALL)).fit(X, y)
    assert pipe.score(X, y) > 0.9
    assert cross_val_score(MultiTaskMLP(**SMALL), X, y, cv=3, error_score="raise").min() > 0.8
    search = GridSearchCV(MultiTaskMLP(**SMALL), {"hidden": [(4,), (16,)]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")
def test_scikit_learns_checks_pass():
    results = check_estimator(MultiTaskMLP(hidden=(8,), max_epochs=5), on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] == "failed"]
    assert not failed, "\n".join(failed)


def test_wrong_targets_are_refused():
    X, y = data()
    model = MultiTaskMLP(**SMALL, max_steps=1).fit(X, y)
    for wrong, sentence in (
        (y["side"], "a column for each target"),
        (y.iloc[:-1], "200 rows"),
        (y.assign(side="left"), "at least 2 classes of target 'side'"),
        (y.assign(size=None), "a known value of target 'size'"),
        (y.assign(size=np.inf), "finite numbers in target 'size'"),
    ):
        with pytest.raises(InputError, match=sentence):
            clone(model).fit(X, wrong)
    with pytest.raises(InputError, match="classes of target 'side'"):
        model.fit(X, y, X_val=X, y_val=y.assign(side="up"))
    for settings in ({"kinds": ("class",)}, {"task_weights": (1.0,)}, {"members": 2}):
        with pytest.raises(SettingError):
            clone(model).set_params(**settings).fit(X, y)
    with pytest.raises(InputError, match="numbers in target 'side'"):
        clone(model).set_params(kinds=("number", "number", "class")).fit(X, y)
