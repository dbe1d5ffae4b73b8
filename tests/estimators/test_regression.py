"""Numbers: every head predicts a distribution that is better than none, calibrated, and in the target's units."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from estimators.cases import REGRESSORS, data_for, first_of, name_of, small
from gradus.core.errors import InputError, SettingError
from gradus.estimators.mlp import MLPRegressor

every = pytest.mark.parametrize("cls", REGRESSORS, ids=name_of)
REAL_HEADS = ["gaussian", "gaussian_learned", "mixture", "quantile"]
COUNT_HEADS = ["poisson", "negative_binomial"]
HEADS = REAL_HEADS + COUNT_HEADS
# For the two hundred rows that diabetes leaves for training: a penalty, and small steps.
STEADY = {"l2": 0.05, "learning_rate": 0.003, "max_epochs": 200, "patience": 15, "batch_size": 32, "components": 2}


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.35, random_state=1)
    X_fit, X_val, y_fit, y_val = train_test_split(X, y, test_size=0.3, random_state=1)
    return X_fit, y_fit, X_val, y_val, X_test, y_test


STEADIED = {}


def steady(cls, head, diabetes):
    """Fit each head once for the tests that ask."""
    if (cls, head) not in STEADIED:
        X, y, X_val, y_val, *_ = diabetes
        STEADIED[cls, head] = small(cls, head=head, **STEADY).fit(X, y, None, X_val, y_val)
    return STEADIED[cls, head]


def log_likelihood(model, X, y):
    """Return the mean log density of each target, in nats."""
    return model.predict_distribution(X).log_prob(torch.tensor(y, dtype=torch.float32)).double().numpy()


# A Poisson distribution has no width of its own, and diabetes progression spreads far wider than its mean says.
@pytest.mark.parametrize("head", [*REAL_HEADS, "negative_binomial"])
@first_of(REGRESSORS)
def test_the_distribution_beats_the_marginal_gaussian_on_real_data(cls, head, diabetes):
    _, y, _, _, X_test, y_test = diabetes
    model = steady(cls, head, diabetes)
    trivial = stats.norm(y.mean(), y.std()).logpdf(y_test)
    gain = log_likelihood(model, X_test, y_test) - trivial
    # 155 rows: a gain of about 0.28 nats (linear regression's is 0.30), three standard errors above zero
    assert gain.mean() > max(0.15, 2.5 * gain.std() / np.sqrt(len(gain)))
    assert r2_score(y_test, model.predict(X_test)) > 0.3


@pytest.mark.parametrize("head", COUNT_HEADS)
@first_of(REGRESSORS)
def test_the_distribution_of_counts_beats_a_marginal_of_its_kind(cls, head):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    rate = np.exp(1 + 0.8 * X[:, 0] - 0.5 * X[:, 1])
    y = rng.poisson(rate * (rng.gamma(2, 0.5, 600) if head == "negative_binomial" else 1)).astype(float)
    model = small(cls, head=head, max_epochs=30).fit(X[:400], y[:400])
    found = log_likelihood(model, X[400:], y[400:])
    trivial = stats.poisson(y[:400].mean()).logpmf(y[400:])
    wide = stats.nbinom(1 / 0.9, 1 / (1 + 0.9 * y[:400].mean())).logpmf(y[400:])
    assert found.mean() > max(trivial.mean(), wide.mean()) + 0.15
    draws = model.predict_distribution(X[400:]).sample((50,))
    assert (draws >= 0).all() and (draws == draws.round()).all()
    assert np.corrcoef(np.log(model.predict(X[400:])), np.log(rate[400:]))[0, 1] > 0.9


@pytest.mark.parametrize("head", ["quantile", "gaussian_learned", "mixture"])
def test_ninety_percent_intervals_hold_ninety_percent(head):
    """Noise whose width depends on the input; 4000 held-out rows, so a standard error of 0.005."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (6000, 1))
    width = 0.3 + np.abs(X[:, 0])
    y = np.sin(2 * X[:, 0]) + width * rng.normal(size=6000)
    fit, rest = slice(2000), slice(2000, None)
    settings = {"hidden": (32,), "max_epochs": 40, "batch_size": 100, "components": 2}
    model = small(MLPRegressor, head=head, **settings).fit(X[fit], y[fit])
    answer = model.predict_distribution(X[rest])
    if head == "mixture":
        covered = np.abs(answer.cdf(torch.tensor(y[rest], dtype=torch.float32)).numpy() - 0.5) < 0.45
    else:
        low, high = (answer.icdf(torch.tensor(level)).numpy() for level in (0.05, 0.95))
        covered = (low < y[rest]) & (y[rest] < high)
        # the width follows the noise: an interval of one width for all would hold too much here, too little there
        assert np.corrcoef(high - low, width[rest])[0, 1] > 0.9
    # 0.04: what 2000 training rows leave uncertain about two quantiles, six times over for the sampling above
    assert covered.mean() == pytest.approx(0.9, abs=0.04)
    for part in (width[rest] < 1, width[rest] > 1.6):
        assert covered[part].mean() == pytest.approx(0.9, abs=0.07)


@pytest.mark.parametrize("head", ["quantile", "gaussian_learned"])
@first_of(REGRESSORS)
def test_intervals_hold_on_real_data(cls, head, diabetes):
    _, y, _, _, X_test, y_test = diabetes
    model = steady(cls, head, diabetes)
    answer = model.predict_distribution(X_test)
    low, high = (answer.icdf(torch.tensor(level)).numpy() for level in (0.05, 0.95))
    covered = np.mean((low < y_test) & (y_test < high))
    # 155 rows: a standard error of 0.024; learned from 200, an interval is a little narrow
    assert 0.78 < covered < 0.98
    assert (high - low).mean() < 0.9 * 3.29 * y.std()  # and it says more than the marginal does


@pytest.mark.parametrize("head", HEADS)
@every
def test_the_prediction_is_the_point_the_head_promises(cls, head):
    X, y = data_for(cls)
    model = small(cls, head=head).fit(X, y)
    answer, found = model.predict_distribution(X), model.predict(X)
    assert found.shape == (50,) and found.dtype == np.float64
    point = answer.icdf(torch.tensor(0.5)) if head == "quantile" else answer.mean
    assert np.allclose(point.numpy(), found, rtol=1e-4)
    assert model.score(X, y) == pytest.approx(r2_score(y, found))


@pytest.mark.parametrize("head", REAL_HEADS)
@every
def test_another_unit_gives_the_same_model_in_that_unit(cls, head):
    X, y = data_for(cls)
    plain = small(cls, head=head).fit(X, y)
    scaled = small(cls, head=head).fit(X, 1000 * y - 7000)
    assert np.allclose(scaled.predict(X), 1000 * plain.predict(X) - 7000, rtol=1e-3)
    logs = [log_likelihood(m, X, t) for m, t in ((plain, y), (scaled, 1000 * y - 7000))]
    assert np.allclose(logs[1], logs[0] - np.log(1000), atol=5e-3)
    assert [r["epoch"] for r in scaled.history_] == [r["epoch"] for r in plain.history_]


@pytest.mark.parametrize("head", REAL_HEADS)
def test_another_unit_of_the_inputs_changes_nothing(head):
    X, y = data_for(MLPRegressor)
    plain = small(MLPRegressor, head=head).fit(X, y)
    shifted = small(MLPRegressor, head=head).fit(X * [1e-3, 1e3, 1, 8] + 100, y)
    assert np.allclose(shifted.predict(X * [1e-3, 1e3, 1, 8] + 100), plain.predict(X), rtol=1e-2)


@pytest.mark.parametrize("head", [h for h in HEADS if h != "mixture"])
@first_of(REGRESSORS)
def test_several_outputs_at_once(cls, head):
    X, y = data_for(cls)
    both = np.column_stack([y, 200 - y])
    model = small(cls, head=head, max_epochs=30).fit(X, both)
    assert model.predict(X).shape == (50, 2) and model.predict(X[:1]).shape == (1, 2)
    assert np.corrcoef(model.predict(X).T)[0, 1] < -0.7  # and so not one prediction for both
    assert model.score(X, both) > 0.5
    answer = model.predict_distribution(X)
    assert answer.batch_shape == (50,) and answer.event_shape == (2,)
    back = small(cls, head=head, max_epochs=0).fit(X, y.reshape(-1, 1).ravel())
    assert back.predict(X).shape == (50,)


@every
def test_wrong_targets_are_refused(cls):
    X, y = data_for(cls)
    both = np.column_stack([y, y])
    with pytest.raises(SettingError, match="one target with head='mixture'"):
        small(cls, head="mixture").fit(X, both)
    for head in COUNT_HEADS:
        for wrong in (y + 0.5, -y):
            with pytest.raises(InputError, match="counts 0, 1, 2"):
                small(cls, head=head).fit(X, wrong)
    with pytest.raises(InputError, match=r"y of shape \(50,\), got \(50, 2\)"):
        small(cls).fit(X, y).partial_fit(X, both)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"(?i)nan|infinity"):
            small(cls).fit(X, np.r_[bad, y[1:]])


@pytest.mark.parametrize("head", HEADS)
@first_of(REGRESSORS)
def test_a_constant_target_is_predicted(cls, head):
    X, _ = data_for(cls)
    model = small(cls, head=head, max_epochs=30).fit(X, np.full(50, 7.0))
    assert np.allclose(model.predict(X), 7.0, atol=1.5)
    assert np.isfinite(log_likelihood(model, X, np.full(50, 7.0))).all()


@every
def test_a_network_without_hidden_layers_is_least_squares(cls, diabetes):
    X, y, _, _, X_test, _ = diabetes
    settings = {"hidden": (), "optimizer": "lbfgs", "learning_rate": 1.0, "max_epochs": 60, "batch_size": 500}
    model = cls(**settings, random_state=0).fit(X, y)
    exact = LinearRegression().fit(X, y)
    assert np.allclose(model.predict(X_test), exact.predict(X_test), atol=0.01 * y.std())


@every
def test_the_history_measures_validation(cls):
    """The score is the share of the training targets' variance explained, the loss the head's in nats."""
    X, y = data_for(cls)
    model = small(cls, head="gaussian_learned", early_stopping=False).fit(X, y, X_val=X[:30], y_val=y[:30])
    last = model.history_[-1]
    error = np.mean((model.predict(X[:30]) - y[:30]) ** 2)
    assert last["valid_score"] == pytest.approx(1 - error / y.var(), abs=1e-4)
    assert last["valid_loss"] == pytest.approx(-log_likelihood(model, X[:30], y[:30]).mean(), rel=1e-4)


@every
def test_quantile_levels_are_free_and_never_cross(cls):
    X, y = data_for(cls)
    model = small(cls, head="quantile", quantiles=(0.1, 0.4, 0.8), max_epochs=20).fit(X, y)
    levels = torch.tensor([0.1, 0.4, 0.8])
    values = torch.stack([model.predict_distribution(X).icdf(level) for level in levels])
    assert (values.diff(dim=0) > 0).all()
    for wrong in ((0.5, 0.1), (0.0, 0.5), (0.5, 1.0), ()):
        with pytest.raises(SettingError, match="quantiles"):
            small(cls, head="quantile", quantiles=wrong).fit(X, y)


@every
def test_targets_beyond_single_precision_are_refused(cls):
    X, y = data_for(cls)
    with pytest.raises(InputError, match=r"numbers up to 1e36 in size in y, got 5e\+300; rescale it"):
        small(cls).fit(X, np.where(y == y.max(), 5e300, y))
    model = small(cls).fit(X, y)
    with pytest.raises(InputError, match="in size in y, got -1e\\+40"):
        model.partial_fit(X, np.full(50, -1e40))
