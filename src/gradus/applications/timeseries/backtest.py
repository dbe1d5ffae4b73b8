"""Backtests: forecasts from one origin after another, each knowing only what came before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from gradus.applications.timeseries.calendar import season_of
from gradus.applications.timeseries.contract import ForecastEstimator
from gradus.applications.timeseries.metrics import (
    CRPS_LEVELS,
    interval_over_origins,
    mase_scale,
    pinball_parts,
    smape_parts,
)
from gradus.applications.timeseries.series import SeriesSet, read_series
from gradus.core.errors import InputError, SettingError, nearest

__all__ = ["METRICS", "Backtest", "Difference", "backtest", "compare_backtests"]

Floats = NDArray[np.float64]
PINBALL_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
METRICS: dict[str, str] = {
    "mase": "absolute error as a multiple of the seasonal naive forecast's within the history",
    "smape": "symmetric absolute percentage error, per cent",
    "mae": "absolute error, units of the series",
    "rmse": "root of the mean squared error, units of the series",
    "pinball": "pinball loss over five levels, units of the series",
    "crps": "continuous ranked probability score, units of the series",
    "coverage": "share of values inside the interval",
    "width": "width of the interval, units of the series",
}


class Difference(NamedTuple):
    """A difference ``first - second`` of a metric with its 95 % interval, and which is better where it leaves out 0."""

    difference: float
    low: float
    high: float
    better: Literal["first", "second"] | None


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """What a backtest found.

    Attributes
    ----------
    forecasts : DataFrame
        One row an origin, series and step that was observed: ``origin`` (label of the last known value), ``series``,
        ``step``, ``time``, ``truth``, ``median``, ``low``, ``high``, and the error of each metric.
    horizon, step, overlap : int
        Steps ahead, steps between origins, and how many origins' forecasts overlap.
    interval : float
        Nominal coverage of ``low`` to ``high``.
    model : ForecastEstimator
        The copy fitted last: to the history before the last origin at which it learned.
    """

    forecasts: pd.DataFrame
    horizon: int
    step: int
    overlap: int
    interval: float
    model: ForecastEstimator

    @property
    def n_origins(self) -> int:
        """Number of origins."""
        return int(self.forecasts["number"].nunique())

    def by_origin(self, metric: str) -> Floats:
        """Return the mean of a metric at each origin, in the order of time; of ``rmse`` the mean squared error."""
        column = "squared" if metric == "rmse" else _known(metric)
        return self.forecasts.groupby("number", sort=True)[column].mean().to_numpy()

    @property
    def table(self) -> pd.DataFrame:
        """One row a metric: its value and 95 % interval over the origins."""
        rows = []
        for metric, meaning in METRICS.items():
            each = self.by_origin(metric)
            value, (low, high) = float(each.mean()), interval_over_origins(each, self.overlap)
            if metric == "rmse":
                value, low, high = np.sqrt(value), np.sqrt(max(low, 0.0)), np.sqrt(high)
            if metric == "coverage":
                low, high = max(low, 0.0), min(high, 1.0)
            elif metric != "rmse":
                low = max(low, 0.0)
            rows.append((metric, value, low, high, meaning))
        return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "meaning"])

    def by_step(self) -> pd.DataFrame:
        """Return the mean error of each step ahead."""
        means = self.forecasts.groupby("step", sort=True)[["mae", "mase", "squared", "crps", "coverage"]].mean()
        return means.assign(rmse=np.sqrt(means["squared"])).drop(columns="squared").reset_index()

    def value(self, metric: str) -> float:
        """Return one metric's value."""
        mean = float(self.by_origin(metric).mean())
        return float(np.sqrt(mean)) if metric == "rmse" else mean


def _known(metric: str) -> str:
    if metric not in METRICS:
        mend = f"{nearest(metric, METRICS)}use for example 'mase'"
        raise SettingError(f"one of {', '.join(METRICS)}", repr(metric), mend)
    return metric


def backtest(
    model: ForecastEstimator,
    series: Any,
    *,
    horizon: int | None = None,
    origins: int = 8,
    step: int | None = None,
    refit: bool | int = False,
    interval: float = 0.9,
) -> Backtest:
    """Forecast from one origin after another and compare with what came.

    At each origin the model is given the history up to it and nothing else. A copy of ``model`` is fitted to the
    history of the first origin; what it was fitted to before plays no part.

    Parameters
    ----------
    model : ForecastEstimator
        Settings of the forecaster; it is copied and left as it is.
    series : as in `read_series`
        The whole series.
    horizon : int, optional
        Steps ahead; the model's by default.
    origins : int
        Number of origins; the last lies ``horizon`` steps before the end.
    step : int, optional
        Steps from one origin to the next; the horizon by default, so that no value is forecast twice.
    refit : bool or int
        Fit anew at every origin, or at every so many; False fits once, at the first, and only the history moves on.
    interval : float
        Nominal coverage of the interval that is judged.

    Returns
    -------
    Backtest

    Raises
    ------
    InputError
        If the series are too short for so many origins.

    Examples
    --------
    >>> from gradus.applications.timeseries import NaiveForecaster
    >>> waves = np.tile([1.0, 2.0, 3.0, 4.0], 10) + np.arange(40)
    >>> found = backtest(NaiveForecaster(season=4, horizon=4), waves, origins=5)
    >>> found.value("mae"), found.value("mase")  # every season lies four higher than the one before
    (4.0, 1.0)

    References
    ----------
    Tashman 2000, Out-of-Sample Tests of Forecasting Accuracy; Hyndman & Athanasopoulos 2021, §5.10.
    """
    whole = read_series(series, gaps=model.gaps)
    ahead = model.horizon if horizon is None else horizon
    apart = ahead if step is None else step
    if min(ahead, apart, origins) < 1 or not 0 < interval < 1:
        received = f"horizon {ahead}, step {apart}, {origins} origins, interval {interval}"
        raise SettingError("horizon, step and origins of 1 or more, interval in (0, 1)", received, "change it")
    season = season_of(whole.step) if model.season is None else model.season
    if min(whole.lengths) - ahead - (origins - 1) * apart <= season:
        expected = f"series of more than {ahead + (origins - 1) * apart + season} values for {origins} origins"
        raise InputError(expected, f"one of {min(whole.lengths)}", "name fewer origins or a shorter step")
    every = 0 if refit is False else int(refit)
    judge, parts, fitted = _Judge(interval, season), [], clone(model)
    for number in range(origins):
        drop = ahead + (origins - 1 - number) * apart
        past = whole.without_last(drop)
        if number == 0 or (every and number % every == 0):
            fitted = clone(model).fit(past)
        quantiles = fitted.predict_quantiles(judge.levels, ahead, past)
        quantiles = quantiles[:, None] if past.flat else quantiles
        parts += [judge.rows(number, whole, past, i, quantiles[:, i]) for i in range(len(whole))]
    forecasts = pd.concat(parts, ignore_index=True)
    if not len(forecasts):
        raise InputError("observed values to judge by", "only gaps", "name other origins")
    overlap = -(-ahead // apart)
    return Backtest(forecasts=forecasts, horizon=ahead, step=apart, overlap=overlap, interval=interval, model=fitted)


class _Judge:
    """Errors of one origin and series, step by step."""

    def __init__(self, interval: float, season: int) -> None:
        tails = ((1 - interval) / 2, 0.5, (1 + interval) / 2)
        self.levels: Sequence[float] = [*CRPS_LEVELS, *PINBALL_LEVELS, *tails]
        self.season = season

    def rows(self, number: int, whole: SeriesSet, past: SeriesSet, i: int, quantiles: Floats) -> pd.DataFrame:
        n, ahead = len(past.values[i]), len(quantiles)
        truth, seen = whole.values[i][n : n + ahead], whole.observed[i][n : n + ahead]
        labels = past.labels(i, ahead)
        k, levels = len(CRPS_LEVELS), np.asarray(self.levels)
        low, median, high = quantiles[:, -3:].T
        losses = pinball_parts(truth, quantiles, levels)
        error = np.abs(truth - median)
        scale = mase_scale(past.values[i], self.season)
        columns = {
            "number": number,
            "origin": labels[n - 1],
            "series": whole.names[i],
            "step": np.arange(1, ahead + 1),
            "time": labels[n:],
            "truth": truth,
            "median": median,
            "low": low,
            "high": high,
            "mase": error / scale if scale else np.where(error > 0, np.inf, 0.0),
            "smape": smape_parts(truth, median),
            "mae": error,
            "squared": error**2,
            "pinball": losses[:, k:-3].mean(1),
            "crps": 2 * losses[:, :k].mean(1),
            "coverage": ((truth >= low) & (truth <= high)).astype(np.float64),
            "width": high - low,
        }
        return pd.DataFrame(columns)[seen]


def compare_backtests(first: Backtest, second: Backtest, metric: str = "mase") -> Difference:
    """Return the difference of a metric on the same origins; of ``rmse``, that of the mean squared errors.

    Parameters
    ----------
    first, second : Backtest
        Of the same series, horizon and origins.
    metric : str
        A name in ``METRICS``, other than coverage and width, of which neither more nor less is better.

    Raises
    ------
    InputError
        If the two are not of the same values.

    Examples
    --------
    >>> from gradus.applications.timeseries import NaiveForecaster
    >>> walk = np.random.default_rng(0).normal(size=300).cumsum()
    >>> last, mean = (backtest(NaiveForecaster(method=m, horizon=2), walk, origins=40) for m in ("last", "mean"))
    >>> compare_backtests(last, mean).better
    'first'
    """
    if _known(metric) in ("coverage", "width"):
        raise SettingError("a metric of which less is better", repr(metric), "use for example 'mase'")
    keys = ["number", "series", "step", "truth"]
    if not first.forecasts[keys].reset_index(drop=True).equals(second.forecasts[keys].reset_index(drop=True)):
        raise InputError("backtests of the same values", "others", "pass the same series, horizon, origins and step")
    each = first.by_origin(metric) - second.by_origin(metric)
    low, high = interval_over_origins(each, first.overlap)
    return Difference(float(each.mean()), low, high, "first" if high < 0 else "second" if low > 0 else None)
