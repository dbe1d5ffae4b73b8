"""Bias and variance: exact identities, closed forms of ridge regression, enumeration of votes, and real curves."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from gradus.core.errors import InputError, SettingError
from gradus.practice.bias_variance import bias_variance, capacity_curve, capacity_exhibit


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X[:300], y[:300], X[300:], y[300:]


def adds_up(found):
    """The identity, row by row and on the whole, against the losses themselves."""
    rows = found.rows
    np.testing.assert_allclose(rows.error, rows.noise + rows.bias + rows.variance, rtol=1e-12, atol=1e-12)
    assert found.error == pytest.approx(found.noise + found.bias + found.variance)


def test_squared_parts_add_up_to_the_measured_error(diabetes):
    tree = DecisionTreeRegressor(max_depth=4, random_state=0)
    found = bias_variance(tree, *diabetes, sets=20)
    adds_up(found)
    assert found.loss == "squared" and found.predictions.shape == (20, 142)
    assert found.error == pytest.approx(np.square(found.predictions - diabetes[3]).mean())
    assert found.variance == pytest.approx(found.predictions.var(0, ddof=1).mean())
    noisy = bias_variance(tree, *diabetes, sets=20, noise=np.full(142, 100.0))
    adds_up(noisy)
    assert noisy.noise == 100.0 and noisy.error == pytest.approx(found.error + 100.0)
    assert noisy.bias == pytest.approx(found.bias)


class Drawn(RegressorMixin, BaseEstimator):
    """Predicts what it drew: a known bias of 2 and a known variance of 9, whatever the rows."""

    def fit(self, X, y):
        self.seed_ = int(np.abs(X[:, 0] * 1e6).sum()) % 2**32
        return self

    def predict(self, X):
        return X[:, 0] + 2 + 3 * np.random.default_rng(self.seed_).normal(size=len(X))


def known(sets=5, n=20_000):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 1))
    return bias_variance(Drawn(), X[:100], X[:100, 0], X, X[:, 0], sets=sets).rows


def near(values, truth):
    """Within five standard errors: a failure rate below 1e-6."""
    return abs(values.mean() - truth) < 5 * values.std() / len(values) ** 0.5


def test_few_sets_neither_raise_nor_lower_the_parts():
    rows = known()
    assert near(rows.bias, 4) and near(rows.variance, 9)
    assert not near(rows.bias + rows.variance / 5, 4)  # the square of a mean of five, as it comes
    assert not near(rows.variance * 4 / 5, 9)  # a variance over n


def test_ridge_against_its_closed_form():
    """With noise of known variance on fixed rows, the bias and variance of ridge regression are matrices."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(25, 3)), rng.normal(size=(6, 3))
    w, sigma, penalty = np.array([1.0, -2.0, 0.5]), 0.7, 5.0
    hat = new @ np.linalg.solve(X.T @ X + penalty * np.eye(3), X.T)
    bias, variance = np.square(hat @ X @ w - new @ w), sigma**2 * np.square(hat).sum(1)

    class Renoised(RegressorMixin, BaseEstimator):
        """Ridge regression on all of the fixed rows with targets drawn anew: a training set of the theory."""

        def fit(self, X_drawn, y_drawn):
            seed = int(np.abs(X_drawn).sum() * 1e6) % 2**32
            y = X @ w + sigma * np.random.default_rng(seed).normal(size=25)
            self.ridge_ = Ridge(alpha=penalty, fit_intercept=False).fit(X, y)
            return self

        def predict(self, rows):
            return self.ridge_.predict(rows)

    sets = 800
    found = bias_variance(Renoised(), X, X @ w, new, new @ w, sets=sets, noise=sigma**2)
    adds_up(found)
    assert (np.abs(found.rows.variance - variance) < 5 * variance * (2 / sets) ** 0.5).all()
    error = np.sqrt(4 * bias * variance / sets + 2 * (variance / sets) ** 2)
    assert (np.abs(found.rows.bias - bias) < 5 * error).all()
    assert (found.rows.noise == sigma**2).all()


class Voter(ClassifierMixin, BaseEstimator):
    """Answers from a table of answers, one row of it for each fit."""

    table = ()
    turn = 0

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.row_ = type(self).turn % len(self.table)
        type(self).turn += 1
        return self

    def predict(self, X):
        return np.asarray(self.table[self.row_])[: len(X)]


def votes(table, truth, **options):
    Voter.table, Voter.turn = table, 0
    X, classes = np.zeros((len(truth), 1)), np.array(["a", "b", "c"])
    return bias_variance(Voter(), np.zeros((3, 1)), classes, X, truth, sets=len(table), train_size=3, **options)


def test_zero_one_parts_by_hand():
    """Ten models, three rows: always right; right 7 times of 10; right 2 times, b 5 times, c 3 times."""
    table = [["a", "a" if i < 7 else "b", "a" if i < 2 else "b" if i < 7 else "c"] for i in range(10)]
    found = votes(table, np.array(["a", "a", "a"]))
    adds_up(found)
    assert found.rows.error.tolist() == pytest.approx([0.0, 0.3, 0.8])
    assert found.rows.bias.tolist() == [0, 0, 1]
    assert found.rows.variance.tolist() == pytest.approx([0.0, 0.3, -0.2])  # scatter helps where the vote is wrong


@pytest.mark.parametrize("p", [0.9, 0.6])
def test_zero_one_noise_is_domingos_theorem(p):
    """Two classes: E = (2 P(y = y*) - 1) N + B + c V with c = 1 where the vote is right and -1 where it is wrong."""
    for right in range(11):
        table = [["a" if i < right else "b"] for i in range(10)]
        Voter.table, Voter.turn = table, 0
        X, y = np.zeros((1, 1)), np.array(["a", "b"])
        found = bias_variance(Voter(), np.zeros((2, 1)), y, X, y[:1], sets=10, noise=[[p, 1 - p]], train_size=2)
        adds_up(found)
        correct = right / 10
        biased = correct < 0.5
        scatter = min(correct, 1 - correct)
        assert found.bias == biased
        assert found.variance == pytest.approx(-scatter if biased else scatter)
        assert found.noise == pytest.approx((2 * correct - 1) * (1 - p))
        expected = sum(
            a * b
            for (one, a), (two, b) in itertools.product((("a", correct), ("b", 1 - correct)), (("a", p), ("b", 1 - p)))
            if one != two
        )
        assert found.error == pytest.approx(expected)


def test_real_classifiers():
    X, y = load_breast_cancer(return_X_y=True)
    data = (X[:300], y[:300], X[300:], y[300:])
    tree = bias_variance(DecisionTreeClassifier(random_state=0), *data, sets=30)
    smooth = bias_variance(make_pipeline(StandardScaler(), KNeighborsClassifier(25)), *data, sets=30)
    for found in (tree, smooth):
        adds_up(found)
        assert found.loss == "zero_one"
        assert found.error == pytest.approx((found.predictions != data[3]).mean())
    assert tree.variance > 2 * abs(smooth.variance) and tree.training_error == 0
    assert smooth.training_error > 0


def test_the_same_sets_for_every_model(diabetes):
    first, again = (bias_variance(LinearRegression(), *diabetes, sets=5) for _ in range(2))
    other = bias_variance(LinearRegression(), *diabetes, sets=5, random_state=1)
    assert np.array_equal(first.predictions, again.predictions)
    assert not np.array_equal(first.predictions, other.predictions)
    parts = bias_variance(LinearRegression(), *diabetes, sets=5, replace=False)
    adds_up(parts)
    smaller = bias_variance(LinearRegression(), *diabetes, sets=5, train_size=30)
    assert smaller.variance > 3 * parts.variance  # fewer rows scatter more


def test_capacity_shows_under_and_overfitting_on_real_rows(data_home):
    """House prices by the share of poor neighbours: a line underfits, high degrees overfit (figure 5.3)."""
    frame = pd.read_csv(data_home / "tabular" / "BostonHousing2.csv.gz")
    X, y = frame[["lstat"]].astype(float).to_numpy(), frame["cmedv"].astype(float).to_numpy()
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    model = make_pipeline(StandardScaler(), PolynomialFeatures(include_bias=False), LinearRegression())
    degrees = (1, 2, 4, 8, 12)
    curve = capacity_curve(
        model, "polynomialfeatures__degree", degrees, X[:250], y[:250], X[250:], y[250:], sets=40, train_size=60
    )
    assert tuple(curve.iloc[:, 0]) == degrees
    assert curve.training_error.is_monotonic_decreasing
    assert curve.variance.is_monotonic_increasing
    best = int(curve.error.idxmin())
    assert 0 < best < 4
    assert curve.bias[0] > 1.2 * curve.bias[best] and curve.variance[0] < 0.1 * curve.bias[0]  # too simple
    assert curve.variance[4] > curve.bias[4] and curve.error[4] > 1.2 * curve.error[best]  # too flexible
    np.testing.assert_allclose(curve.error, curve.noise + curve.bias + curve.variance)
    figure = capacity_exhibit(curve).figure
    assert [trace["name"] for trace in figure["data"]] == ["bias", "variance", "error", "training error"]
    assert figure["data"][0]["y"] == pytest.approx(curve.bias, abs=1e-6)


def test_bad_input(diabetes):
    X, y, X_test, y_test = diabetes
    model = LinearRegression()
    with pytest.raises(InputError, match="one target for each row"):
        bias_variance(model, X, y[:-1], X_test, y_test)
    with pytest.raises(InputError, match="one target for each row"):
        bias_variance(model, X, y, X_test, y_test[:-1])
    with pytest.raises(SettingError, match="2 sets"):
        bias_variance(model, *diabetes, sets=1)
    with pytest.raises(SettingError, match="1 to 299 rows"):
        bias_variance(model, *diabetes, replace=False, train_size=300)
    with pytest.raises(SettingError, match="loss squared"):
        bias_variance(model, *diabetes, loss="hinge")
    with pytest.raises(InputError, match="a variance"):
        bias_variance(model, *diabetes, sets=2, noise=[1.0, 2.0])
    with pytest.raises(InputError, match="probabilities of 3 classes"):
        votes([["a"], ["b"]], np.array(["a"]), noise=[[0.5, 0.5]])
    with pytest.raises(SettingError, match="a setting of LinearRegression"):
        capacity_curve(model, "degree", (1, 2), *diabetes)
    with pytest.raises(SettingError, match="none"):
        capacity_curve(model, "fit_intercept", (), *diabetes)
