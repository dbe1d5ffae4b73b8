"""A table understood as series in time: its ladder of forecasters, judged by rolling origin, and its exhibits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from gradus.applications.base import Candidate
from gradus.applications.timeseries.backtest import Backtest, backtest
from gradus.applications.timeseries.baselines import NaiveForecaster
from gradus.applications.timeseries.calendar import season_of
from gradus.applications.timeseries.contract import ForecastEstimator
from gradus.applications.timeseries.exhibits import (
    backtest_figure,
    error_by_step,
    forecast_figure,
    forecast_residuals,
)
from gradus.applications.timeseries.forecaster import Forecaster
from gradus.applications.timeseries.recognition import layout_of, looks_like_series
from gradus.applications.timeseries.series import SeriesSet, read_series
from gradus.applications.timeseries.smoothing import ExponentialSmoothing
from gradus.core.errors import DataError
from gradus.core.options import parse_setting
from gradus.estimators.exhibit import Exhibit

__all__ = ["SeriesApplication"]

ORIGINS = 8  # in each part; fewer where the history is short


class SeriesApplication:
    """Series to forecast: what is read, which forecasters are tried, how they are judged.

    Not a split of rows: origins of the validation part lie before those of the test part, and each forecast knows only
    what lies before its origin.

    Parameters
    ----------
    frame : DataFrame
        A table that `looks_like_series`, or one whose columns are named.
    time, target, by : str, optional
        Columns of stamps, numbers, and names of series; found by themselves where left out.
    horizon : int, optional
        Steps ahead; two seasons by default, less where the history is short.
    name : str
        What to call the data.

    Attributes
    ----------
    series : SeriesSet
        Gaps filled; ``series.notes`` tells how many.
    why : str
        Why the table is taken for a series.
    target : str or None
        The column that is forecast, where it is one.
    roles : dict of str to str
        Columns of the stamps ("time") and of the names of series ("by"), where the table has them.
    season, horizon, origins : int
        Steps of a season, steps ahead, origins of each part.

    Raises
    ------
    DataError
        If the table holds no series, or one too short to judge by.
    """

    kind: ClassVar[str] = "series"
    task: ClassVar[str] = "forecast"
    metric: ClassVar[str] = "mase"

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        time: str | None = None,
        target: str | None = None,
        by: str | None = None,
        horizon: int | None = None,
        name: str = "series",
    ) -> None:
        layout = layout_of(frame)
        if layout is None and time is None:
            mend = "name the column of dates with --time, and aggregate to one row a step"
            raise DataError("a table of series: one row a step", f"another in {name}", mend)
        self.why = looks_like_series(frame) or "as asked"
        if layout is not None:
            time = layout.time if time is None else time
            by = layout.by if by is None else by
            target = layout.targets[0] if target is None and by is not None else target
        wanted: Any = target
        if target is None and layout is not None:
            wanted = layout.targets[0] if len(layout.targets) == 1 else list(layout.targets)
        self.name = name
        self._wanted = wanted
        self.target: str | None = wanted if isinstance(wanted, str) else None
        self.roles = {role: str(column) for role, column in (("time", time), ("by", by)) if column is not None}
        self.series: SeriesSet = read_series(frame, time=time, target=wanted, by=by, gaps="fill")
        self.season = season_of(self.series.step)
        shortest = min(self.series.lengths)
        self.horizon = max(1, min(2 * self.season if self.season > 1 else 12, shortest // 10))
        if horizon is not None:
            self.horizon = horizon
        # Half of the history at least is left before the first origin.
        self.origins = min(ORIGINS, (shortest // 2) // (2 * self.horizon))
        if self.origins < 1:
            expected = f"series of {4 * self.horizon} values or more for a horizon of {self.horizon}"
            raise DataError(expected, f"one of {shortest} in {name}", "ask for a shorter horizon")

    def rungs(self) -> list[Candidate]:
        """Return the forecasters below the network, the simplest first."""
        common: dict[str, Any] = {"horizon": self.horizon, "season": self.season, "gaps": "fill"}
        found = [Candidate("last value", NaiveForecaster(method="last", **common), "things stay as they are")]
        if self.season > 1:
            why = f"every value as {self.season} steps ago"
            found.append(Candidate("seasonal naive", NaiveForecaster(method="seasonal", **common), why))
        found.append(Candidate("drift", NaiveForecaster(method="drift", **common), "the trend from first to last"))
        if find_spec("statsmodels") is not None:
            why = "level, trend and season that follow the series"
            found.append(Candidate("exponential smoothing", ExponentialSmoothing(**common), why))
        return found

    def network(self, settings: Mapping[str, str], **fixed: Any) -> Candidate:
        """Return the network for the top of the ladder.

        Parameters
        ----------
        settings : mapping of str to str
            Texts of ``--set name=value``.
        **fixed
            Settings that the job decides, such as ``random_state`` and ``checkpoint``.
        """
        given = {key: parse_setting(Forecaster, key, text) for key, text in settings.items()}
        defaults = {"horizon": self.horizon, "season": self.season, "gaps": "fill"}
        estimator = Forecaster(**{**defaults, **fixed, **given})
        estimator.check_settings()
        names = {"mlp": "dense blocks", "lstm": "LSTM", "tcn": "temporal convolutions"}
        return Candidate(names[estimator.body], estimator, "learns from every window, and the calendar")

    def judge(self, estimator: ForecastEstimator, part: Literal["valid", "test"]) -> Backtest:
        """Backtest on the origins of one part; those of the validation part lie before all of the test part's."""
        later = self.origins * self.horizon if part == "valid" else 0
        series = self.series.without_last(later) if later else self.series
        return backtest(estimator, series, horizon=self.horizon, origins=self.origins)

    def finish(self, estimator: ForecastEstimator) -> ForecastEstimator:
        """Fit to the whole history, for the forecasts that count."""
        return estimator.fit(self.series)

    def history(self, frame: pd.DataFrame) -> SeriesSet:
        """Read a newer history from a table with the same columns."""
        return read_series(
            frame, time=self.roles.get("time"), target=self._wanted, by=self.roles.get("by"), gaps="fill"
        )

    def exhibits(self, fitted: ForecastEstimator, tested: dict[str, Backtest]) -> Iterator[Exhibit]:
        """Yield the way ahead, earlier forecasts with what came, errors by step, and residuals.

        Parameters
        ----------
        fitted : ForecastEstimator
            Fitted to the whole history.
        tested : dict of str to Backtest
            By name, the chosen one first.
        """
        chosen = next(iter(tested.values()))
        # Of many series the one whose error is the median one: neither the best nor the worst.
        each = chosen.forecasts.groupby("series", sort=False)["mase"].mean()
        middle = each.index[int(np.argsort(each.to_numpy())[len(each) // 2])]
        which = self.series.names.index(str(middle))
        yield forecast_figure(fitted, which=which)
        yield backtest_figure(chosen, self.series, which)
        yield error_by_step(tested)
        yield forecast_residuals(chosen)
