"""BayesianLinearRegression: scikit-learn's contract, and answers against marginal Gaussians and other estimators."""

import math

import numpy as np
import pytest
import scipy.stats
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from gradus.core.errors import InputError, SettingError
from gradus.estimators.bayesian_linear import BayesianLinearRegression

GIVEN = {"prior_precision": 0.4, "noise_precision": 1.5}


def data(n=30, d=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(3.0, 1.0, (n, d))
    return X, 50 + X @ np.arange(1.0, d + 1) + rng.normal(size=n)


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("settings", [{}, GIVEN, {"fit_intercept": False}], ids=["learned", "given", "no intercept"])
def test_contract(settings):
    results = check_estimator(BayesianLinearRegression(**settings), on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] in ("failed", "xfail")]
    assert not failed, "\n".join(failed)
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(results) > 50


def joint_gaussian(X, new, intercept_precision):
    """Mean and covariance of all targets, seen and new, with a nearly flat prior on the constant."""
    every = np.vstack([X, new])
    noise = np.eye(len(every)) / GIVEN["noise_precision"]
    return every @ every.T / GIVEN["prior_precision"] + 1 / intercept_precision + noise


def test_predictions_with_an_intercept_are_conditionals_of_a_joint_gaussian():
    X, y = data()
    new = data(5, seed=1)[0]
    model = BayesianLinearRegression(**GIVEN).fit(X, y)
    joint = joint_gaussian(X, new, 1e-3)
    gain = joint[30:, :30] @ np.linalg.inv(joint[:30, :30])
    mean, std = model.predict(new, return_std=True)
    np.testing.assert_allclose(mean, gain @ y, rtol=1e-4)
    np.testing.assert_allclose(std**2, np.diag(joint[30:, 30:] - gain @ joint[:30, 30:]), rtol=1e-4)
    np.testing.assert_array_equal(model.predict(new), mean)
    quiet = model.predict_distribution(new, noise=False)
    np.testing.assert_allclose(std**2 - quiet.variance.numpy(), 1 / GIVEN["noise_precision"], rtol=1e-9)


def test_evidence_with_an_intercept_is_the_marginal_density():
    """With a prior N(0, 1/ε) of the constant, of density near sqrt(ε / 2π), ever flatter."""
    X, y = data()
    found = BayesianLinearRegression(**GIVEN).fit(X, y).log_evidence_
    flat = 1e-6
    exact = scipy.stats.multivariate_normal.logpdf(y, np.zeros(30), joint_gaussian(X, X[:0], flat), allow_singular=True)
    assert found == pytest.approx(exact - 0.5 * math.log(flat / (2 * math.pi)), abs=2e-3)
    X0, y0 = X - X.mean(0), y - y.mean()
    without = BayesianLinearRegression(**GIVEN, fit_intercept=False).fit(X0, y0)
    expected = scipy.stats.multivariate_normal.logpdf(y0, np.zeros(30), X0 @ X0.T / 0.4 + np.eye(30) / 1.5)
    assert without.log_evidence_ == pytest.approx(expected, rel=1e-9)


def test_learned_precisions(diabetes):
    X, y = diabetes
    flat = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}
    other = BayesianRidge(fit_intercept=False, tol=1e-10, max_iter=2000, **flat).fit(X, y - y.mean())
    model = BayesianLinearRegression(fit_intercept=False).fit(X, y - y.mean())
    assert model.prior_precision_ == pytest.approx(other.lambda_, rel=1e-5)
    assert model.noise_precision_ == pytest.approx(other.alpha_, rel=1e-6)
    _, expected = other.predict(X, return_std=True)
    np.testing.assert_allclose(model.predict(X, return_std=True)[1], expected, rtol=1e-6)
    # With an intercept one row goes to the constant: the other counts all of them.
    whole = BayesianLinearRegression().fit(X, y)
    assert whole.noise_precision_ * 442 / 441 == pytest.approx(other.alpha_, rel=1e-3)
    nearby = [
        BayesianLinearRegression(
            prior_precision=whole.prior_precision_ * a, noise_precision=whole.noise_precision_ * b
        ).fit(X, y)
        for a, b in ((1.05, 1), (0.95, 1), (1, 1.02), (1, 0.98))
    ]
    assert max(m.log_evidence_ for m in nearby) < whole.log_evidence_
    assert 5 < whole.n_effective_ < 10 and whole.n_iter_ < 50


def test_parts_are_the_whole(diabetes):
    X, y = diabetes
    for settings in ({}, {"fit_intercept": False}, GIVEN):
        whole, parts = (BayesianLinearRegression(**settings) for _ in range(2))
        whole.fit(X, y)
        for part in (slice(0, 3), slice(3, 4), slice(4, 300), slice(300, 442)):
            parts.partial_fit(X[part], y[part])
        for name in ("coef_", "covariance_", "intercept_", "log_evidence_", "noise_precision_", "prior_precision_"):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-7, err_msg=name)
        assert parts.n_rows_ == 442
        parts.fit(X[:50], y[:50])
        assert parts.n_rows_ == 50  # fit begins anew
        np.testing.assert_allclose(parts.coef_, BayesianLinearRegression(**settings).fit(X[:50], y[:50]).coef_)


def test_weights_in_parts():
    X, y = data()
    often = np.random.default_rng(1).integers(0, 3, 30)
    whole = BayesianLinearRegression().fit(np.repeat(X, often, 0), np.repeat(y, often))
    parts = BayesianLinearRegression().partial_fit(X[:10], y[:10], often[:10]).partial_fit(X[10:], y[10:], often[10:])
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-7)
    assert parts.log_evidence_ == pytest.approx(whole.log_evidence_)


def test_a_far_origin_costs_no_digits():
    X, y = data(200)
    near, far = (BayesianLinearRegression().fit(X + shift, y) for shift in (0.0, 1e6))
    np.testing.assert_allclose(far.coef_, near.coef_, rtol=1e-6)
    np.testing.assert_allclose(far.predict(X + 1e6), near.predict(X), rtol=1e-7)


def test_samples_have_the_posteriors_moments():
    """Mean and covariance of draws within five standard errors each; the failure rate of all is below 1e-5."""
    X, y = data()
    new = data(3, seed=1)[0]
    model = BayesianLinearRegression().fit(X, y)
    drawn = model.sample(new, 40_000, random_state=0)
    quiet = model.predict_distribution(new, noise=False)
    mean, variance = quiet.mean.numpy(), quiet.variance.numpy()
    assert (np.abs(drawn.mean(0) - mean) < 5 * np.sqrt(variance / 40_000)).all()
    assert (np.abs(drawn.var(0) - variance) < 5 * variance * np.sqrt(2 / 40_000)).all()
    w, b = model.sample_weights(40_000, random_state=0)
    np.testing.assert_allclose(w @ new.T + b[:, None], drawn)
    spread = np.sqrt(np.outer(np.diag(model.covariance_), np.diag(model.covariance_)) * 2 / 40_000)
    assert (np.abs(np.cov(w.T) - model.covariance_) < 5 * spread).all()
    # such a check would notice a variance for a precision, or a factor that is not transposed
    wrong = np.linalg.inv(model.covariance_) / np.trace(np.linalg.inv(model.covariance_)) * np.trace(model.covariance_)
    assert not (np.abs(np.cov(w.T) - wrong) < 5 * spread).all()
    assert np.array_equal(model.sample(new, 3, random_state=1), model.sample(new, 3, random_state=1))


def test_densities_are_calibrated_on_real_rows(diabetes):
    X, y = diabetes
    order = np.random.default_rng(0).permutation(442)
    train, test = order[:300], order[300:]
    model = BayesianLinearRegression().fit(X[train], y[train])
    mean, std = model.predict(X[test], return_std=True)
    np.testing.assert_allclose(model.log_density(X[test], y[test]), scipy.stats.norm.logpdf(y[test], mean, std))
    base = scipy.stats.norm.logpdf(y[test], y[train].mean(), y[train].std()).mean()
    assert model.log_density(X[test], y[test]).mean() > base + 0.2
    assert 0.88 < (np.abs(y[test] - mean) < 1.96 * std).mean() < 0.99
    assert model.score(X[test], y[test]) > 0.35


def test_saved_and_loaded(tmp_path, diabetes):
    X, y = diabetes
    model = BayesianLinearRegression().fit(X[:100], y[:100])
    again = BayesianLinearRegression.load(model.save(tmp_path / "model"))
    for one in (model, again):
        one.partial_fit(X[100:], y[100:])
    assert np.array_equal(model.predict(X, return_std=True), again.predict(X, return_std=True))
    search = GridSearchCV(BayesianLinearRegression(), {"fit_intercept": [True, False]}).fit(X, y)
    assert search.best_params_ == {"fit_intercept": True}


def test_bad_settings_and_rows():
    X, y = data()
    for settings in ({"prior_precision": 0.0}, {"noise_precision": -1.0}, {"tol": 0.0}, {"max_iter": 0}):
        with pytest.raises(SettingError, match=next(iter(settings))):
            BayesianLinearRegression(**settings).fit(X, y)
    with pytest.raises(InputError, match="sum above 1"):
        BayesianLinearRegression().fit(X, y, np.full(30, 0.01))
    with pytest.raises(InputError, match="one target a row"):
        BayesianLinearRegression().fit(X, y).log_density(X, y[:, None])
    with pytest.raises(InputError, match="n_samples"):
        BayesianLinearRegression().fit(X, y).sample(X, 0)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        BayesianLinearRegression(max_iter=1).fit(X, y)
