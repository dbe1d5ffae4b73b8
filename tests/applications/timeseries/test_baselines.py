"""Naive forecasts and exponential smoothing against formulas by hand, simulation, and statsmodels."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from torch.distributions import Normal

from gradus.applications.timeseries import ExponentialSmoothing, Forecaster, NaiveForecaster
from gradus.applications.timeseries.baselines import Moments, gaussian_paths
from gradus.applications.timeseries.smoothing import Smoothing, _ahead, smooth
from gradus.core.errors import InputError, MissingExtraError, SettingError
from gradus.core.randomness import generator

HISTORY = np.array([3.0, 7.0, 4.0, 8.0, 6.0, 9.0])


def moments(method, horizon=4, season=2, history=HISTORY):
    ahead = NaiveForecaster(method=method, horizon=horizon, season=season).fit(history).predict_distribution()
    assert isinstance(ahead, Normal)
    return ahead.mean.numpy(), ahead.stddev.numpy()


def test_the_last_value_spreads_as_a_random_walk():
    mean, deviation = moments("last")
    sigma2 = (16 + 9 + 16 + 4 + 9) / 5
    assert mean.tolist() == [9, 9, 9, 9]
    np.testing.assert_allclose(deviation, np.sqrt(sigma2 * np.array([1, 2, 3, 4])))


def test_the_last_season_comes_again():
    mean, deviation = moments("seasonal", horizon=5)
    sigma2 = (1 + 1 + 4 + 1) / 4
    assert mean.tolist() == [6, 9, 6, 9, 6]
    np.testing.assert_allclose(deviation, np.sqrt(sigma2 * np.array([1, 1, 2, 2, 3])))


def test_drift_goes_on_with_the_mean_step():
    mean, deviation = moments("drift")
    residuals = np.diff(HISTORY) - 6 / 5
    sigma2 = (residuals**2).sum() / 4
    h = np.arange(1, 5)
    np.testing.assert_allclose(mean, 9 + 1.2 * h)
    np.testing.assert_allclose(deviation, np.sqrt(sigma2 * h * (1 + h / 5)))


def test_the_mean_stays():
    mean, deviation = moments("mean")
    np.testing.assert_allclose(mean, HISTORY.mean())
    np.testing.assert_allclose(deviation, HISTORY.std(ddof=1) * np.sqrt(1 + 1 / 6))


def test_gaps_are_no_residuals():
    days = pd.date_range("2024-01-01", periods=6)
    holed = pd.Series([1.0, 3, np.nan, 4, 9, 10], days)
    ahead = NaiveForecaster(method="last", horizon=1, gaps="fill").fit(holed).predict_distribution()
    # filled: 1 3 3 4 9 10; observed neighbours: 1-3, 4-9, 9-10
    np.testing.assert_allclose(float(ahead.stddev), np.sqrt((4 + 25 + 1) / 3))


@pytest.mark.parametrize("method", ["last", "seasonal", "drift"])
def test_paths_have_the_spread_of_each_step_and_hang_together(method):
    model = NaiveForecaster(method=method, season=2, horizon=4).fit(HISTORY)
    paths = model.sample(40_000, random_state=0)
    ahead = model.predict_distribution()
    # standard errors of mean and deviation over 40,000 draws; six of them fail once in 1e8
    error = 6 * ahead.stddev.numpy() / 200
    assert (np.abs(paths.mean(0) - ahead.mean.numpy()) < error).all()
    assert (np.abs(paths.std(0) - ahead.stddev.numpy()) < error).all()
    between = np.corrcoef(paths.T)
    if method == "last":  # two steps share the walk to the first: corr = sqrt(1/2)
        assert abs(between[0, 1] - np.sqrt(1 / 2)) < 0.03 and abs(between[0, 3] - np.sqrt(1 / 4)) < 0.03
    if method == "seasonal":  # same place in the season: sqrt(1/2); another place: nothing
        assert abs(between[0, 2] - np.sqrt(1 / 2)) < 0.03 and abs(between[0, 1]) < 0.03


def test_paths_are_repeated_by_their_seed():
    model = NaiveForecaster(horizon=3).fit(HISTORY)
    assert np.array_equal(model.sample(5, random_state=1), model.sample(5, random_state=1))
    assert not np.array_equal(model.sample(5, random_state=1), model.sample(5, random_state=2))


def test_a_constant_series_stays_constant():
    for method in ("last", "seasonal", "drift", "mean"):
        model = NaiveForecaster(method=method, season=2, horizon=3).fit(np.full(8, 5.0))
        np.testing.assert_allclose(model.predict(), 5.0)
        np.testing.assert_allclose(model.sample(3, random_state=0), 5.0)
        np.testing.assert_allclose(model.predict_quantiles((0.01, 0.99)), 5.0)


def test_shapes_follow_what_was_fitted():
    one, table = NaiveForecaster(horizon=3).fit(HISTORY), NaiveForecaster(horizon=3).fit(np.c_[HISTORY, -HISTORY])
    assert one.predict().shape == (3,) and table.predict().shape == (3, 2)
    assert one.predict_quantiles((0.1, 0.9)).shape == (3, 2) and table.predict_quantiles((0.1,)).shape == (3, 2, 1)
    assert one.sample(7).shape == (7, 3) and table.sample(7).shape == (7, 3, 2)
    assert one.predict_distribution().batch_shape == (3,) and table.predict_distribution().batch_shape == (2, 3)
    np.testing.assert_array_equal(table.predict()[:, 1], -table.predict()[:, 0])
    np.testing.assert_array_equal(one.predict(2), one.predict()[:2])
    assert list(table.forecast(2)["series"]) == ["series 0"] * 2 + ["series 1"] * 2


def test_score_is_the_skill_over_the_seasonal_naive_forecast():
    wave = np.tile([0.0, 4.0], 10) + np.repeat([0.0, 1.0], [18, 2])  # the last season lies one higher
    assert NaiveForecaster(season=2, horizon=2).fit(wave).score(wave) == 0.0
    # last value 4 for the truths 1 and 5: errors 3 and 1; seasonal naive: 1 and 1
    assert NaiveForecaster(method="last", season=2, horizon=2).fit(wave).score(wave) == 1 - 4 / 2


def test_a_saved_forecaster_answers_alike(tmp_path):
    frame = pd.DataFrame({"a": HISTORY, "b": HISTORY[::-1]}, index=pd.date_range("2024-01-01", periods=6, freq="h"))
    model = NaiveForecaster(horizon=3, season=2).fit(frame)
    again = NaiveForecaster.load(model.save(tmp_path / "model"))
    pd.testing.assert_frame_equal(again.forecast(), model.forecast())
    assert again.forecast()["time"].iloc[0] == pd.Timestamp("2024-01-01 06:00")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m: m.predict(0), "a horizon of 1 step or more"),
        (lambda m: m.predict_quantiles((0.5, 1.0)), "levels within"),
        (lambda m: m.sample(0), "1 path or more"),
        (lambda m: m.predict(series=[1.0, 2.0]), "3 values or more for method='seasonal'"),
        (lambda m: m.score([1.0, 2.0, 3.0]), "more than 3 values"),
    ],
)
def test_wrong_questions_get_a_sentence(ask, words):
    with pytest.raises((InputError, SettingError), match=words):
        ask(NaiveForecaster(season=2, horizon=3).fit(HISTORY))


def test_another_step_than_fitted_is_refused():
    daily = pd.Series(HISTORY, pd.date_range("2024-01-01", periods=6))
    model = NaiveForecaster(method="last").fit(daily)
    with pytest.raises(InputError, match="steps of D, as fitted"):
        model.predict(series=daily.set_axis(pd.date_range("2024-01-01", periods=6, freq="h")))


def test_an_unfitted_forecaster_says_so():
    with pytest.raises(NotFittedError):
        NaiveForecaster().predict()
    with pytest.raises(SettingError, match="method"):
        NaiveForecaster(method="never").fit(HISTORY)


# -- exponential smoothing ---------------------------------------------------------------------------------------------

FULL = Smoothing(0.4, 0.1, 0.2, 0.9, 10.0, 1.0, np.array([-2.0, 0.5, 1.5]))


def test_one_step_of_smoothing_by_hand():
    last, errors = smooth(FULL, np.array([10.0]))
    assert errors.tolist() == pytest.approx([10 - (10 + 0.9 - 2)])  # 1.1
    assert last.level == pytest.approx(10.9 + 0.4 * 1.1) and last.trend == pytest.approx(0.9 + 0.1 * 1.1)
    assert last.seasonal.tolist() == pytest.approx([0.5, 1.5, -2 + 0.2 * 1.1])  # oldest first


def test_a_gap_passes_the_states_on():
    values, seen = np.array([12.0, 0.0, 13.0]), np.array([True, False, True])
    last, errors = smooth(FULL, values, seen)
    between = smooth(FULL, values[:1]).last
    expected = between.level + 0.9 * between.trend + between.seasonal[0]
    again = smooth(FULL, np.array([12.0, expected, 13.0]))
    assert errors[1] == 0.0 and last.level == pytest.approx(again.last.level)
    np.testing.assert_allclose(last.seasonal, again.last.seasonal)


def test_mean_and_covariance_ahead_agree_with_simulated_paths():
    """Simulate the recursion itself: errors drawn, added to its own forecasts, and fed back."""
    rng, horizon, n, spread = np.random.default_rng(0), 7, 20_000, 2.0
    ahead = _ahead(FULL, spread, horizon)
    level, trend = np.full(n, FULL.level), np.full(n, FULL.trend)
    seasonal, paths = np.tile(FULL.seasonal, (n, 1)), np.empty((n, horizon))
    for t in range(horizon):
        error, slot = rng.normal(0, np.sqrt(spread), n), t % 3
        mean = level + 0.9 * trend
        paths[:, t] = mean + seasonal[:, slot] + error
        level, trend = mean + 0.4 * error, 0.9 * trend + 0.1 * error
        seasonal[:, slot] += 0.2 * error
    deviations = np.sqrt(np.diag(ahead.covariance))
    # six standard errors of a mean and of a covariance: fail once in 1e8 and, over 49 entries, in 1e6
    assert (np.abs(paths.mean(0) - ahead.mean) < 6 * deviations / np.sqrt(n)).all()
    error = 6 * np.sqrt(2 / n) * np.multiply.outer(deviations, deviations)
    assert (np.abs(np.cov(paths.T) - ahead.covariance) < error).all()


def test_simple_smoothing_spreads_by_the_known_formula():
    simple = Smoothing(0.3, 0.0, 0.0, 1.0, 5.0, 0.0, np.empty(0))
    ahead = _ahead(simple, 4.0, 5)
    np.testing.assert_allclose(ahead.mean, 5.0)
    np.testing.assert_allclose(np.diag(ahead.covariance), 4.0 * (1 + 0.09 * np.arange(5)))


def test_damped_trend_levels_off():
    damped = Smoothing(0.3, 0.1, 0.0, 0.5, 5.0, 2.0, np.empty(0))
    np.testing.assert_allclose(_ahead(damped, 1.0, 4).mean, 5 + 2 * np.cumsum(0.5 ** np.arange(1, 5)))


def test_paths_of_a_singular_covariance():
    paths = gaussian_paths([Moments(np.arange(3.0), np.ones((3, 3)))], 1000, generator(0)).numpy()[:, 0]
    np.testing.assert_allclose(paths - paths[:, :1], np.tile(np.arange(3.0), (1000, 1)), atol=1e-6)


def history(n=96, seed=0):
    rng, t = np.random.default_rng(seed), np.arange(n)
    return 20 + 0.3 * t + np.tile([4.0, -1.0, 0.0, -3.0], n // 4) + rng.normal(0, 0.7, n)


@pytest.mark.parametrize("trend", ["none", "additive", "damped"])
@pytest.mark.parametrize("seasonal", ["none", "additive"])
def test_fitted_states_and_forecasts_are_those_of_statsmodels(trend, seasonal):
    ets = pytest.importorskip("statsmodels.tsa.exponential_smoothing.ets")
    values = history()
    model = ExponentialSmoothing(trend=trend, seasonal=seasonal, season=4, horizon=9).fit(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = ets.ETSModel(
            pd.Series((values - values.mean()) / values.std()),
            error="add",
            trend=None if trend == "none" else "add",
            damped_trend=trend == "damped",
            seasonal=None if seasonal == "none" else "add",
            seasonal_periods=None if seasonal == "none" else 4,
        ).fit(disp=False)
        said = peer.get_prediction(start=96, end=104)
        variance = np.asarray(said.forecast_variance)
    ahead = model.predict_distribution()
    np.testing.assert_allclose(ahead.mean, values.mean() + values.std() * np.asarray(said.predicted_mean), rtol=1e-7)
    # their variance divides by all values, ours leaves out the smoothing parameters
    ratio = ahead.variance.numpy() / (variance * values.var())
    free = 1 + (trend != "none") + (trend == "damped") + (seasonal != "none")
    np.testing.assert_allclose(ratio, 96 / (96 - free), rtol=1e-6)


def test_the_criterion_chooses_a_trend_where_there_is_one():
    pytest.importorskip("statsmodels")
    model = ExponentialSmoothing(season=4, horizon=8).fit(history())
    flat = ExponentialSmoothing(season=1, horizon=8).fit(np.random.default_rng(0).normal(size=80))
    assert model.trends_[0] != "none" and flat.trends_ == ["none"]
    truth = 20 + 0.3 * np.arange(96, 104) + np.tile([4.0, -1.0, 0.0, -3.0], 2)
    assert np.abs(model.predict() - truth).max() < 1.0


def test_a_newer_history_moves_the_states_without_a_fit():
    pytest.importorskip("statsmodels")
    values = history(120)
    model = ExponentialSmoothing(season=4, horizon=4, trend="additive").fit(values[:96])
    assert np.abs(model.predict(series=values[:108]) - values[108:112]).max() < 3
    before = model.predict()
    with pytest.raises(InputError, match="begin where the fitted ones did"):
        model.predict(series=pd.Series(values, index=np.arange(5.0, 125.0)))
    assert np.array_equal(model.predict(), before)


def test_smoothing_is_stored_without_statsmodels_objects(tmp_path, monkeypatch):
    pytest.importorskip("statsmodels")
    model = ExponentialSmoothing(season=4, horizon=4).fit(np.c_[history(), np.full(96, 3.0)])
    folder = model.save(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.exponential_smoothing.ets", None)  # as if it were not there
    again = ExponentialSmoothing.load(folder)
    assert np.array_equal(again.predict_quantiles(), model.predict_quantiles())
    np.testing.assert_allclose(again.predict()[:, 1], 3.0)  # of a constant series
    with pytest.raises(MissingExtraError, match=r"gradus-dl\[timeseries\]"):
        ExponentialSmoothing(season=4).fit(history())


def test_every_forecaster_shares_its_settings():
    for cls in (NaiveForecaster, ExponentialSmoothing, Forecaster):
        assert {"horizon", "season", "gaps"} <= set(cls().get_params())
