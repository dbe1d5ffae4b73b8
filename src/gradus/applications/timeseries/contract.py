"""What every forecaster answers: numbers, quantiles, distributions and paths, from its own or from a newer history."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.distributions import Distribution

from gradus.applications.timeseries.calendar import season_of
from gradus.applications.timeseries.series import Gaps, SeriesSet, read_series
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.randomness import derive, generator, resolve_seed
from gradus.estimators.base import Estimator
from gradus.estimators.exhibit import Exhibit

__all__ = ["ForecastEstimator"]

Floats = NDArray[np.float64]


@dataclass(kw_only=True, eq=False, repr=False)
class ForecastEstimator(Estimator):
    """Base of the forecasters; a subclass says which distribution lies ahead of a history.

    Answers have the axes of what was fitted: ``(horizon,)`` for one series given without an axis of series, else
    ``(horizon, series)``. Without ``series`` they go on from the end of what was fitted, with it from the end of
    that: nothing is learned from it.
    """

    horizon: int = option(12, "steps ahead that are forecast", unit="steps", low=1)
    season: int | None = option(
        None, "steps until the pattern repeats; none: from the stamps, 7 for days, 12 for months", unit="steps", low=1
    )
    gaps: Gaps = option("refuse", "missing values: an error, or filled with the last value and never learned or judged")

    @abstractmethod
    def _forecast(self, past: SeriesSet, horizon: int) -> Distribution:
        """Return the distribution of each step by itself, of batch shape (series, horizon), in double precision."""

    @abstractmethod
    def _paths(self, past: SeriesSet, horizon: int, n: int, source: torch.Generator) -> Tensor:
        """Return draws of whole paths, shape (n, series, horizon)."""

    # -- what is fitted ------------------------------------------------------------------------------------------

    def _learn_series(self, data: Any) -> SeriesSet:
        """Read what is to be fitted and keep it: forecasts begin where it ends."""
        series = read_series(data, gaps=self.gaps)
        self.series_ = series.to_plain()
        self.season_: int = season_of(series.step) if self.season is None else int(self.season)
        self.notes_ = [str(note) for note in series.notes]
        self.n_series_ = len(series)
        return series

    def _past(self, series: Any) -> SeriesSet:
        """Return the history to go on from, checked against what was fitted."""
        check_is_fitted(self)
        known = SeriesSet.from_plain(self.series_)
        if series is None:
            return known
        past = read_series(series, gaps=self.gaps)
        if known.dated and past.step != known.step:
            received = f"steps of {past.step}"
            raise InputError(f"series in steps of {known.step}, as fitted", received, "fit a forecaster for those")
        return past

    def _steps(self, horizon: int | None) -> int:
        steps = self.horizon if horizon is None else horizon
        if not isinstance(steps, int | np.integer) or isinstance(steps, bool) or steps < 1:
            raise SettingError("a horizon of 1 step or more", repr(horizon), "pass for example horizon=12")
        return int(steps)

    # -- answers -------------------------------------------------------------------------------------------------

    def predict(self, horizon: int | None = None, series: Any = None) -> Floats:
        """Return the median of each step ahead, in the units of the series.

        Parameters
        ----------
        horizon : int, optional
            Steps ahead; the setting by default.
        series : as in `fit`, optional
            Forecast what follows this history instead of the fitted one.

        Returns
        -------
        ndarray of shape (horizon,) or (horizon, series)
        """
        return self.predict_quantiles((0.5,), horizon, series)[..., 0]

    def predict_quantiles(
        self, levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95), horizon: int | None = None, series: Any = None
    ) -> Floats:
        """Return quantiles of each step ahead.

        Parameters
        ----------
        levels : sequence of float
            In (0, 1); (0.05, 0.95) enclose the central 90 %.
        horizon, series
            As in `predict`.

        Returns
        -------
        ndarray of shape (horizon, levels) or (horizon, series, levels)
        """
        wanted = torch.as_tensor(list(levels), dtype=torch.float64)
        if not len(wanted) or not bool(((wanted > 0) & (wanted < 1)).all()):
            raise InputError("levels within (0, 1)", str(list(levels)), "pass for example levels=(0.05, 0.5, 0.95)")
        past = self._past(series)
        ahead = self._forecast(past, self._steps(horizon))
        found = torch.stack([ahead.icdf(level.expand(ahead.batch_shape)) for level in wanted], -1)
        return _shaped(found, past)

    def predict_distribution(self, horizon: int | None = None, series: Any = None) -> Distribution:
        """Return the distribution of each step by itself, a ``torch.distributions`` object in double precision.

        Its batch shape is ``(series, horizon)``, or ``(horizon,)`` where one series was given without an axis of
        series. Steps of one series depend on each other: use `sample` for sums and extremes over several.
        """
        past = self._past(series)
        ahead = self._forecast(past, self._steps(horizon))
        return _squeezed(ahead) if past.flat else ahead

    def sample(self, n: int = 100, horizon: int | None = None, series: Any = None, random_state: Any = None) -> Floats:
        """Draw whole paths, whose steps hang together as the steps of the series do.

        Parameters
        ----------
        n : int
            Number of paths, 1 or more.
        horizon, series
            As in `predict`.
        random_state : int, NumPy generator or None
            The seed; None draws one.

        Returns
        -------
        ndarray of shape (n, horizon) or (n, horizon, series)
        """
        if not isinstance(n, int | np.integer) or n < 1:
            raise SettingError("1 path or more", repr(n), "pass for example n=100")
        past = self._past(series)
        source = generator(derive(resolve_seed(random_state), "paths"))
        drawn = self._paths(past, self._steps(horizon), int(n), source)
        return np.stack([_shaped(path, past) for path in drawn])

    def forecast(
        self, horizon: int | None = None, series: Any = None, levels: Sequence[float] = (0.05, 0.5, 0.95)
    ) -> pd.DataFrame:
        """Return the forecast as a table: one row a series and step, with its stamp and quantiles.

        Examples
        --------
        >>> from gradus.applications.timeseries import NaiveForecaster
        >>> sold = pd.Series([3.0, 5.0, 4.0, 4.0], pd.date_range("2024-01-01", periods=4), name="sold")
        >>> NaiveForecaster(method="last").fit(sold).forecast(1, levels=(0.5,))
          series       time  step  0.5
        0   sold 2024-01-05     1  4.0
        """
        past, steps = self._past(series), self._steps(horizon)
        values = self.predict_quantiles(levels, steps, past)
        values = values[:, None] if past.flat else values
        parts = []
        for i, name in enumerate(past.names):
            columns: dict[str, Any] = {"series": name, "time": past.labels(i, steps)[-steps:]}
            columns["step"] = np.arange(1, steps + 1)
            parts.append(pd.DataFrame(columns | {f"{level:g}": values[:, i, j] for j, level in enumerate(levels)}))
        return pd.concat(parts, ignore_index=True)

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield the forecast that follows ``data`` (None: the fitted history), with its intervals."""
        from gradus.applications.timeseries.exhibits import forecast_figure

        yield forecast_figure(self, data)

    def score(self, series: Any) -> float:
        """Return the skill on the last ``horizon`` values of each series, forecast from those before them.

        ``1 - Σ|error| / Σ|error of the seasonal naive forecast|``: 1 is perfect, 0 as good as saying that everything
        will be as a season ago, below 0 worse. One origin says little: `backtest` takes many, with intervals.
        """
        whole = self._past(series)
        past = whole.without_last(self.horizon)
        if min(past.lengths) < self.season_:
            expected = f"series of {self.season_ + self.horizon} values or more"
            raise InputError(expected, f"one of {min(whole.lengths)}", "pass longer ones, or set a shorter season")
        said = self.predict(series=past).reshape(self.horizon, -1)
        errors = naive = 0.0
        for i, (values, seen) in enumerate(zip(whole.values, whole.observed, strict=True)):
            truth, counted = values[-self.horizon :], seen[-self.horizon :]
            again = past.values[i][-self.season_ :][np.arange(self.horizon) % self.season_]
            errors += float(np.abs(said[:, i] - truth)[counted].sum())
            naive += float(np.abs(again - truth)[counted].sum())
        return 1 - errors / naive if naive else float(errors == 0)


def _shaped(values: Tensor, past: SeriesSet) -> Floats:
    """Turn (series, horizon, ...) into (horizon, ...) or (horizon, series, ...)."""
    array = values.detach().cpu().numpy()
    return array[0] if past.flat else np.moveaxis(array, 0, 1)


def _squeezed(ahead: Distribution) -> Distribution:
    """Return the distribution of the only series, without its axis."""
    from torch.distributions import Normal

    from gradus.networks.heads import QuantileDistribution

    if isinstance(ahead, Normal):
        return Normal(ahead.loc[0], ahead.scale[0])
    if isinstance(ahead, QuantileDistribution):
        return QuantileDistribution(ahead.levels, ahead.values[0])
    raise TypeError(f"a distribution of the class {type(ahead).__name__}")
