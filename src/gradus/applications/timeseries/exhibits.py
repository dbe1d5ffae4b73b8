"""What there is to see of forecasts: the way ahead with its intervals, what came of earlier ones, errors by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gradus.applications.timeseries.backtest import Backtest
from gradus.applications.timeseries.contract import ForecastEstimator
from gradus.applications.timeseries.series import SeriesSet
from gradus.estimators.exhibit import Exhibit, axis, floats, plain, share
from gradus.estimators.exhibits import residuals

__all__ = ["backtest_figure", "error_by_step", "forecast_figure", "forecast_residuals"]

BANDS = ((0.025, 0.975), (0.25, 0.75))
BAND, LINE = "rgba(110, 140, 190, {})", {"width": 1.4}
MOST = 600  # past values drawn; more would hide what lies ahead


def forecast_figure(model: ForecastEstimator, series: Any = None, which: int = 0) -> Exhibit:
    """Draw the end of a history, the median ahead and the intervals around it.

    Parameters
    ----------
    model : ForecastEstimator
        Fitted.
    series : as in `ForecastEstimator.predict`, optional
        The history to go on from; the fitted one by default.
    which : int
        Which of several series.

    Examples
    --------
    >>> from gradus.applications.timeseries import NaiveForecaster
    >>> shown = forecast_figure(NaiveForecaster(method="last", horizon=3).fit(np.arange(20.0)))
    >>> [trace["name"] for trace in shown.figure["data"]]
    ['history', '95 %', '50 %', 'median']
    """
    past = model._past(series)
    levels = sorted({level for band in BANDS for level in band} | {0.5})
    table = model.forecast(series=past, levels=levels)
    table = table[table["series"] == past.names[which]].reset_index(drop=True)
    keep = min(past.lengths[which], max(4 * len(table), 60), MOST)
    history, times = past.values[which][-keep:], past.labels(which)[-keep:]
    data = [_line("history", times, np.where(past.observed[which][-keep:], history, np.nan))]
    for k, (low, high) in enumerate(BANDS):
        named, below, above = share(high - low), table[f"{low:g}"], table[f"{high:g}"]
        data.append(_band(named, table["time"], below, above, 0.22 + 0.2 * k))
    data.append(_line("median", table["time"], table["0.5"].to_numpy(), dash="dot"))
    layout = {"height": 380, "hovermode": "x unified", "xaxis": axis(""), "yaxis": axis(plain(past.names[which]))}
    caption = (
        f"The next {len(table)} steps of {past.names[which]}. The dotted line is the median; half of what comes "
        "should fall into the inner band, and 95 % into the outer."
    )
    return Exhibit("Forecast", caption, "answers", {"data": data, "layout": layout}, table.drop(columns="series"))


def backtest_figure(found: Backtest, series: SeriesSet, which: int = 0) -> Exhibit:
    """Draw what came over what was said before it came.

    Parameters
    ----------
    found : Backtest
        Of these series.
    series : SeriesSet
        The whole series.
    which : int
        Which of several series.
    """
    rows = found.forecasts[found.forecasts["series"] == series.names[which]]
    low, high = len(series.labels(which)) - 2 * found.horizon, len(series.labels(which))
    first = rows["time"].min() if len(rows) else series.labels(which)[max(0, low)]
    shown = np.flatnonzero(series.labels(which) >= first)
    begin = max(0, (shown[0] if len(shown) else high) - found.horizon)
    truth = np.where(series.observed[which], series.values[which], np.nan)[begin:]
    data = [_line("what came", series.labels(which)[begin:], truth)]
    for number, part in rows.groupby("number", sort=True):
        first_one = number == rows["number"].min()
        data.append(_band(share(found.interval), part["time"], part["low"], part["high"], 0.3, legend=first_one))
        said = _line("median said before", part["time"], part["median"].to_numpy(), dash="dot")
        data.append({**said, "showlegend": bool(first_one), "legendgroup": "median"})
    layout = {"height": 380, "hovermode": "closest", "xaxis": axis(""), "yaxis": axis(plain(series.names[which]))}
    inside = float(rows["coverage"].mean()) if len(rows) else float("nan")
    caption = (
        f"Each forecast knew only what lies before it. {share(inside)} of the values fell into the "
        f"{share(found.interval)} intervals."
    )
    table = rows[["origin", "step", "time", "truth", "median", "low", "high"]].reset_index(drop=True)
    return Exhibit("Earlier forecasts and what came", caption, "answers", {"data": data, "layout": layout}, table)


def error_by_step(found: dict[str, Backtest]) -> Exhibit:
    """Draw the mean absolute error of each step ahead, one line a model.

    Parameters
    ----------
    found : dict of str to Backtest
        Models by name, on the same series.
    """
    data, parts = [], []
    for name, one in found.items():
        means = one.by_step()
        parts.append(means.assign(model=name))
        trace = _line(plain(name), means["step"], means["mae"].to_numpy())
        data.append({**trace, "mode": "lines+markers", "marker": {"size": 4}})
    layout = {
        "height": 340,
        "hovermode": "x unified",
        "xaxis": axis("steps ahead"),
        "yaxis": axis("mean absolute error", rangemode="tozero"),
    }
    caption = "How far off each step is on average. A line that stays below another is better at every distance."
    table = pd.concat(parts, ignore_index=True)
    table = table[["model", *[c for c in table.columns if c != "model"]]]
    return Exhibit("Error by step ahead", caption, "errors", {"data": data, "layout": layout}, table)


def forecast_residuals(found: Backtest) -> Exhibit:
    """Show forecast against true values over all origins, and how the errors are distributed."""
    rows = found.forecasts
    return residuals(rows["truth"].to_numpy(), rows["median"].to_numpy(), "value")


def _times(times: Any) -> list[Any]:
    index = pd.Index(times)
    if isinstance(index, pd.DatetimeIndex):
        midnight = bool((index == index.normalize()).all())
        return index.strftime("%Y-%m-%d" if midnight else "%Y-%m-%dT%H:%M:%S").tolist()
    return [float(t) for t in index]


def _line(name: str, times: Any, values: Any, dash: str = "solid") -> dict[str, Any]:
    line = {**LINE, "dash": dash}
    return {"type": "scatter", "mode": "lines", "name": name, "x": _times(times), "y": floats(values), "line": line}


def _band(name: str, times: Any, low: Any, high: Any, opacity: float, *, legend: bool = True) -> dict[str, Any]:
    """Return a filled polygon: along the lower end and back along the upper."""
    x = _times(times)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": bool(legend),
        "x": x + x[::-1],
        "y": floats(np.concatenate([np.asarray(low), np.asarray(high)[::-1]])),
        "fill": "toself",
        "fillcolor": BAND.format(opacity),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
