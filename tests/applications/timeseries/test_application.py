"""A table of series from recognition to exhibits, as the command would take it."""

import json

import numpy as np
import pandas as pd
import pytest

from gradus.applications.timeseries import Forecaster, NaiveForecaster, SeriesApplication
from gradus.core.errors import DataError, SettingError


def sales(n=140, seed=0):
    rng, t = np.random.default_rng(seed), np.arange(n)
    values = 20 + 0.05 * t + 5 * np.isin(t % 7, (5, 6)) + rng.normal(0, 0.5, n)
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d"), "sold": values})


def test_a_table_is_understood_without_being_told():
    app = SeriesApplication(sales().drop(index=[30, 31]))
    assert app.why == "column 'day' has one row a day, 138 of them"
    assert (app.season, app.horizon, app.series.names) == (7, 14, ("sold",))
    assert app.series.lengths == [140] and "gaps in sold (2)" in str(app.series.notes[0])
    names = [candidate.name for candidate in app.rungs()]
    assert names[:3] == ["last value", "seasonal naive", "drift"]


def test_the_validation_part_lies_before_the_test_part():
    app = SeriesApplication(sales(400))
    model = NaiveForecaster(horizon=app.horizon, season=app.season)
    valid, test = app.judge(model, "valid"), app.judge(model, "test")
    assert valid.forecasts["time"].max() < test.forecasts["time"].min()
    assert test.forecasts["time"].max() == app.series.labels(0)[-1]
    assert valid.n_origins == test.n_origins == app.origins
    first = valid.forecasts["origin"].min() - app.series.labels(0)[0]
    assert first / pd.Timedelta(days=1) >= 400 / 2 - 1


def test_settings_reach_the_network():
    app = SeriesApplication(sales(), horizon=3)
    made = app.network({"body": "lstm", "lookback": "21"}, random_state=4)
    assert made.name == "LSTM" and made.estimator.lookback == 21 and made.estimator.random_state == 4
    assert made.estimator.horizon == 3 and made.estimator.season == 7 and made.estimator.gaps == "fill"
    with pytest.raises(SettingError, match="did you mean 'lookback'"):
        app.network({"lookbak": "3"})


def test_a_whole_run_ends_in_exhibits_of_the_middling_series():
    frame = sales()
    frame["noise"] = np.random.default_rng(1).normal(size=140)
    frame["flat"] = 3.0 + 0.001 * np.arange(140)
    app = SeriesApplication(frame, horizon=7)
    network = app.network({"max_steps": "20", "width": "8"}, random_state=0).estimator
    tested = {"network": app.judge(network, "test"), "last value": app.judge(app.rungs()[0].estimator, "test")}
    fitted = app.finish(network)
    assert isinstance(fitted, Forecaster) and fitted.predict().shape == (7, 3)
    shown = list(app.exhibits(fitted, tested))
    assert [e.title for e in shown] == [
        "Forecast", "Earlier forecasts and what came", "Error by step ahead", "Predicted and true",
    ]  # fmt: skip
    errors = tested["network"].forecasts.groupby("series")["mase"].mean().sort_values()
    assert f"steps of {errors.index[1]}." in shown[0].caption
    for exhibit in shown:
        json.dumps(exhibit.figure, allow_nan=False)


def test_long_tables_and_named_columns():
    long = pd.concat([sales(seed=i).assign(shop=name) for i, name in enumerate("ab")]).sample(frac=1, random_state=0)
    app = SeriesApplication(long.reset_index(drop=True))
    assert app.series.names == ("a", "b") and "2 different values of 'shop'" in app.why
    assert SeriesApplication(sales().assign(other=1.5), target="other", horizon=2).series.names == ("other",)


def test_what_is_no_series_is_refused():
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=list("abc"))
    with pytest.raises(DataError, match="one row a step"):
        SeriesApplication(rows)
    with pytest.raises(DataError, match="80 values or more for a horizon of 20"):
        SeriesApplication(sales(60), horizon=20)
