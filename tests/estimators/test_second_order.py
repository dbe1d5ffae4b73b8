"""Estimators fitted by second-order steps: closed forms, oracles, and what is refused."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from gradus.core.errors import SettingError
from gradus.estimators.mlp import MLPClassifier, MLPRegressor
from gradus.estimators.second_order import fit_second_order


@pytest.mark.parametrize("method", ["hessian_free", "natural_gradient"])
def test_a_linear_gaussian_model_needs_one_step(method):
    X, y = load_diabetes(return_X_y=True)
    model = MLPRegressor(hidden=(), random_state=0)
    fit_second_order(model, X, y, method=method, steps=3, damping=1e-10, trust=None)
    exact = Ridge(alpha=0).fit(X, y).predict(X)
    assert np.allclose(model.predict(X), exact, rtol=1e-3, atol=0.05)
    losses = [row["loss"] for row in model.history_]
    assert losses[1] == pytest.approx(losses[2], abs=1e-6) and losses[0] > losses[1] + 0.1
    assert model.predict_distribution(X).stddev[0].item() == pytest.approx(np.sqrt(np.mean((y - exact) ** 2)), rel=1e-3)


def test_logistic_regression_with_l2_is_scikit_learns():
    X, y = load_iris(return_X_y=True)
    model = fit_second_order(MLPClassifier(hidden=(), l2=0.02, random_state=0), X, y, steps=60, tolerance=1e-12)
    # theirs is a sum over rows with a penalty of |w|^2 / (2 C); intercepts are free in both
    oracle = LogisticRegression(C=1 / (0.02 * len(y)), tol=1e-10, max_iter=5000).fit(
        StandardScaler().fit_transform(X), y
    )
    found = model.predict_proba(X)
    assert np.allclose(found, oracle.predict_proba(StandardScaler().fit_transform(X)), atol=2e-3)
    assert model.stopped_by_ in ("tolerance", "max_steps") and model.n_steps_ == len(model.history_)


def test_weights_are_rows_repeated():
    X, y = load_iris(return_X_y=True)
    times = np.arange(150) % 3 + 1
    settings = {"hidden": (4,), "activation": "tanh", "l2": 0.01, "random_state": 0}
    weighted = fit_second_order(MLPClassifier(**settings), X, y, times, steps=10)
    repeated = fit_second_order(MLPClassifier(**settings), np.repeat(X, times, 0), np.repeat(y, times), steps=10)
    assert np.allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("method", ["hessian_free", "natural_gradient"])
def test_a_few_steps_reach_what_adam_needs_many_for(method, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (200, 1))
    y = np.sin(3 * X[:, 0])
    settings = {"hidden": (10,), "activation": "tanh", "random_state": 0}
    model = fit_second_order(MLPRegressor(**settings), X, y, method=method, steps=60, trust=None)
    plain = MLPRegressor(**settings, max_epochs=60 * 30, batch_size=200, learning_rate=0.01).fit(X, y)
    assert model.score(X, y) > plain.score(X, y) and model.score(X, y) > 0.999
    assert model.max_epochs == 100 and model.early_stopping == "auto"
    again = MLPRegressor.load(model.save(tmp_path / "model"))
    assert np.array_equal(again.predict(X), model.predict(X))


def test_what_would_be_left_out_is_refused():
    X, y = load_iris(return_X_y=True)
    for settings, sentence in (({"mixup": 0.2}, "mixup"), ({"l1": 0.1}, "l1"), ({"label_smoothing": 0.1}, "smoothing")):
        with pytest.raises(SettingError, match=sentence):
            fit_second_order(MLPClassifier(**settings), X, y)
    with pytest.raises(SettingError, match="no l2"):
        fit_second_order(MLPClassifier(l2=0.1), X, y, method="natural_gradient")
    with pytest.raises(SettingError, match="did you mean 'hessian_free'"):
        fit_second_order(MLPClassifier(), X, y, method="hessianfree")
    with pytest.raises(SettingError, match="at most 4000 weights"):
        fit_second_order(MLPClassifier(random_state=0), X, y, method="natural_gradient")
    with pytest.raises(SettingError, match="1 step"):
        fit_second_order(MLPClassifier(), X, y, steps=0)
