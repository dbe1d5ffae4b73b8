"""Backtests: origins where they should lie, errors by hand, and no value that was not yet known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from gradus.applications.timeseries import (
    ExponentialSmoothing,
    Forecaster,
    NaiveForecaster,
    backtest,
    compare_backtests,
)
from gradus.applications.timeseries.backtest import METRICS
from gradus.applications.timeseries.exhibits import (
    backtest_figure,
    error_by_step,
    forecast_figure,
    forecast_residuals,
)
from gradus.applications.timeseries.metrics import mase, rmse, smape
from gradus.applications.timeseries.series import read_series
from gradus.core.errors import InputError, SettingError

QUICK = {"max_steps": 5, "width": 8, "lookback": 8, "random_state": 0}


def days(n=80, seed=0):
    rng = np.random.default_rng(seed)
    values = 30 + np.tile([5.0, 1, 0, -1, -2, -3, 0], n // 7 + 1)[:n] + rng.normal(size=n)
    return pd.Series(values, pd.date_range("2024-01-01", periods=n), name="sold")


def test_origins_and_errors_by_hand():
    values = np.array([1.0, 2, 4, 7, 11, 16, 22, 29, 37])
    found = backtest(NaiveForecaster(method="last", season=1, horizon=2), values, origins=3)
    rows = found.forecasts
    assert rows["origin"].tolist() == [2, 2, 4, 4, 6, 6]  # the last one two steps before the end
    assert rows["time"].tolist() == [3, 4, 5, 6, 7, 8]
    assert rows["median"].tolist() == [4, 4, 11, 11, 22, 22]
    assert rows["truth"].tolist() == [7, 11, 16, 22, 29, 37]
    truth, said = rows["truth"].to_numpy(), rows["median"].to_numpy()
    assert found.value("rmse") == pytest.approx(rmse(truth, said))
    assert found.value("smape") == pytest.approx(smape(truth, said))
    each = [mase(truth[i : i + 2], said[i : i + 2], values[: i + 3]) for i in (0, 2, 4)]  # scaled by what was known
    assert found.by_origin("mase").tolist() == pytest.approx(each)
    assert found.value("mase") == pytest.approx(np.mean(each))
    table = found.table.set_index("metric")
    assert list(table.index) == list(METRICS) and (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_overlapping_origins_and_the_interval_that_is_judged():
    found = backtest(NaiveForecaster(horizon=7), days(), origins=10, step=2, interval=0.5)
    assert found.overlap == 4 and found.n_origins == 10 and len(found.forecasts) == 70
    wide = backtest(NaiveForecaster(horizon=7), days(), origins=10, step=2, interval=0.99)
    assert found.value("coverage") < 0.8 < wide.value("coverage") and found.value("width") < wide.value("width")
    steps = wide.by_step()
    assert steps["step"].tolist() == list(range(1, 8)) and steps["rmse"].gt(0).all()


def test_gaps_are_not_judged():
    series = days()
    series.iloc[[70, 75]] = np.nan
    found = backtest(NaiveForecaster(horizon=7, gaps="fill"), series, origins=2)
    assert len(found.forecasts) == 12
    assert not set(series.index[[70, 75]]) & set(found.forecasts["time"])


MODELS = {
    "seasonal": NaiveForecaster(horizon=5),
    "drift": NaiveForecaster(horizon=5, method="drift"),
    "smoothing": ExponentialSmoothing(horizon=5),
    "network": Forecaster(horizon=5, **QUICK),
    "lstm": Forecaster(horizon=5, body="lstm", **QUICK),
}


@pytest.mark.parametrize("refit", [False, 1], ids=["fit once", "refit"])
@pytest.mark.parametrize("name", MODELS)
def test_no_forecast_knows_what_comes_after_its_origin(name, refit):
    """Values after an origin are replaced by nonsense, a gap among them: no forecast up to that origin may change."""
    if name == "smoothing":
        pytest.importorskip("statsmodels")
    model = clone(MODELS[name]).set_params(gaps="fill")
    known, other = days(), days()
    origin = len(known) - 5 - 5  # of the second of three origins
    other.iloc[origin:] = np.random.default_rng(9).normal(1e4, 1e3, len(other) - origin)
    other.iloc[origin] = np.nan
    first, second = (backtest(model, s, origins=3, refit=refit).forecasts for s in (known, other))
    columns = ["origin", "step", "median", "low", "high"]
    upto = known.index[origin - 1]
    before, after = (rows[(rows["origin"] <= upto) & (rows["time"] != known.index[origin])] for rows in (first, second))
    pd.testing.assert_frame_equal(
        before[columns].reset_index(drop=True), after[columns].reset_index(drop=True), check_exact=True
    )
    assert len(before) == 9
    later = [rows[rows["origin"] > upto]["median"].to_numpy() for rows in (first, second)]
    assert np.abs(later[0] - later[1]).max() > 1  # and the last forecast does see them


def test_the_model_given_is_left_alone():
    model = NaiveForecaster(horizon=3)
    backtest(model, days(), origins=2)
    assert not hasattr(model, "series_")


def test_models_are_compared_origin_by_origin():
    rng = np.random.default_rng(0)
    walk = rng.normal(size=400).cumsum()
    last, drift = (backtest(NaiveForecaster(method=m, horizon=4), walk, origins=40) for m in ("last", "mean"))
    found = compare_backtests(last, drift, "rmse")
    assert found.better == "first" and found.high < 0
    assert found.difference == pytest.approx(last.by_origin("rmse").mean() - drift.by_origin("rmse").mean())
    assert compare_backtests(drift, last, "crps").better == "second"
    same = compare_backtests(last, last)
    assert same.difference == 0 and same.better is None
    with pytest.raises(InputError, match="the same values"):
        compare_backtests(last, backtest(NaiveForecaster(horizon=4), walk, origins=39))
    with pytest.raises(SettingError, match="less is better"):
        compare_backtests(last, drift, "coverage")
    with pytest.raises(SettingError, match="did you mean 'smape'"):
        last.value("smap")


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(InputError, match="more than 107 values for 20 origins"):
        backtest(NaiveForecaster(horizon=5), days(), origins=20)
    with pytest.raises(SettingError, match="origins of 1 or more"):
        backtest(NaiveForecaster(), days(), origins=0)


# -- exhibits ----------------------------------------------------------------------------------------------------------


def drawn(exhibit):
    import plotly.graph_objects as go

    return go.Figure(exhibit.figure)  # refuses what Plotly does not know


def test_exhibits_show_what_was_found():
    series = pd.DataFrame({"a": days(), "b": days(seed=1) * 2})
    model = NaiveForecaster(horizon=7)
    found = backtest(model, series, origins=3, interval=0.9)
    ahead = forecast_figure(model.fit(series), which=1)
    assert ahead.table["0.5"].tolist() == pytest.approx(series["b"].iloc[-7:].tolist())
    assert len(drawn(ahead).data) == 4 and "next 7 steps of b" in ahead.caption
    assert drawn(ahead).data[1].y == pytest.approx(
        [*ahead.table["0.025"].round(6), *ahead.table["0.975"].round(6)[::-1]]
    )
    earlier = backtest_figure(found, read_series(series), 0)
    assert len(earlier.table) == 21 and drawn(earlier).data[0].name == "what came"
    steps = error_by_step({"seasonal naive": found, "again": found})
    assert [t.name for t in drawn(steps).data] == ["seasonal naive", "again"] and len(steps.table) == 14
    assert len(drawn(forecast_residuals(found)).data[0].x) == 42
    assert next(model.exhibits(None)).title == "Forecast"
