"""Exponential smoothing: level, trend and season as states, its parameters by maximum likelihood."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Distribution

from gradus.applications.timeseries.baselines import Moments, gaussian_marginals, gaussian_paths
from gradus.applications.timeseries.contract import ForecastEstimator
from gradus.applications.timeseries.series import SeriesSet
from gradus.core.errors import InputError, MissingExtraError
from gradus.core.options import option

__all__ = ["ExponentialSmoothing", "Smoothed", "Smoothing", "smooth"]

Floats = NDArray[np.float64]
# More initial seasonal states than this are set by decomposition: estimating them takes minutes and gains nothing.
MANY_STATES = 24


class Smoothing(NamedTuple):
    r"""Parameters and initial states of additive exponential smoothing.

    :math:`y_t = \ell_{t-1} + \phi b_{t-1} + s_{t-m} + e_t`, then :math:`\ell_t = \ell_{t-1} + \phi b_{t-1} +
    \alpha e_t`, :math:`b_t = \phi b_{t-1} + \beta e_t`, :math:`s_t = s_{t-m} + \gamma e_t`.
    """

    alpha: float
    beta: float
    gamma: float
    phi: float
    level: float
    trend: float
    seasonal: Floats  # of the m steps before the first, oldest first; empty without a season


class Smoothed(NamedTuple):
    """What a history leaves: the states after it, and the error of each one-step forecast within."""

    last: Smoothing
    errors: Floats


def smooth(model: Smoothing, values: Floats, observed: NDArray[np.bool_] | None = None) -> Smoothed:
    """Run the recursion over a history; a gap has no error, so the states pass over it unchanged in expectation.

    Examples
    --------
    >>> simple = Smoothing(0.5, 0.0, 0.0, 1.0, 10.0, 0.0, np.empty(0))
    >>> found = smooth(simple, np.array([12.0, 11.0]))
    >>> found.last.level, found.errors.tolist()
    (11.0, [2.0, 0.0])
    """
    level, trend, m = model.level, model.trend, len(model.seasonal)
    seasonal, errors = model.seasonal.copy(), np.zeros(len(values))
    for t, value in enumerate(values.tolist()):
        mean, slot = level + model.phi * trend, t % m if m else 0
        error = 0.0
        if observed is None or observed[t]:
            error = value - mean - (seasonal[slot] if m else 0.0)
        level, trend = mean + model.alpha * error, model.phi * trend + model.beta * error
        if m:
            seasonal[slot] += model.gamma * error
        errors[t] = error
    turned = np.roll(seasonal, -(len(values) % m)) if m else seasonal
    return Smoothed(model._replace(level=level, trend=trend, seasonal=turned), errors)


@dataclass(kw_only=True, eq=False, repr=False)
class ExponentialSmoothing(ForecastEstimator):
    r"""Level, trend and season that follow the series, recent values weighing most (Holt and Winters).

    Additive errors; parameters and initial states by maximum likelihood through ``statsmodels`` (the extra
    ``timeseries``), the form of the trend by the corrected information criterion where it is left open. Answers, paths
    and a saved model need only the states. The deviation h steps ahead is
    :math:`\sigma\sqrt{1 + \sum_{j<h} c_j^2}` with :math:`c_j = \alpha + \beta(\phi + \dots + \phi^j) +
    \gamma [m \mid j]`.

    Histories passed to the answers must go on from the beginning of the fitted ones: a level has no meaning for
    another series.

    References
    ----------
    Hyndman, Koehler, Ord & Snyder 2008, Forecasting with Exponential Smoothing, table 6.1; Hyndman & Athanasopoulos
    2021, §8.5-8.7.
    """

    trend: Literal["auto", "none", "additive", "damped"] = option("auto", "trend; auto: by information criterion")
    seasonal: Literal["auto", "none", "additive"] = option(
        "auto", "season; auto: additive where there is a season and two of them in the history"
    )

    def fit(self, series: Any) -> Self:
        """Estimate parameters and states of each series.

        Parameters
        ----------
        series : array-like, Series, DataFrame or SeriesSet
            As in `read_series`.

        Returns
        -------
        self

        Raises
        ------
        MissingExtraError
            If statsmodels is not installed.
        """
        self.check_settings()
        past = self._learn_series(series)
        if min(past.lengths) < 8:
            mend = "pass a longer history, or use a NaiveForecaster"
            raise InputError("series of 8 values or more", f"one of {min(past.lengths)}", mend)
        found = [self._fit_one(values) for values in past.values]
        self.trends_ = [trend for trend, _ in found]
        self.models_ = [dict(model._asdict()) for _, model in found]
        return self

    def _fit_one(self, values: Floats) -> tuple[str, Smoothing]:
        centre, scale = float(values.mean()), float(values.std())
        if scale <= 1e-12 * abs(centre):  # no likelihood has a maximum there
            return "none", Smoothing(0.0, 0.0, 0.0, 1.0, centre, 0.0, np.empty(0))
        standard = (values - centre) / scale
        seasonal = self.season_ > 1 and len(values) >= 2 * self.season_ and self.seasonal != "none"
        if self.seasonal == "additive" and not seasonal:
            expected = f"two seasons of {self.season_} values for seasonal='additive'"
            raise InputError(expected, f"{len(values)} values", "set season, or seasonal='auto'")
        trends = ("none", "additive", "damped") if self.trend == "auto" else (self.trend,)
        fits = [(trend, *_estimate(standard, trend, self.season_ if seasonal else 0)) for trend in trends]
        trend, _, model = min(fits, key=lambda fit: fit[1])
        seasons = model.seasonal * scale
        return trend, model._replace(
            level=centre + scale * model.level, trend=scale * model.trend, seasonal=np.asarray(seasons)
        )

    def _moments(self, past: SeriesSet, horizon: int) -> list[Moments]:
        known = SeriesSet.from_plain(self.series_)
        if len(past) != len(known) or past.starts != known.starts:
            mend = "fit a model for them: parameters and levels belong to one series"
            raise InputError("series that begin where the fitted ones did", "others", mend)
        found = []
        for plain, values, seen in zip(self.models_, past.values, past.observed, strict=True):
            last, errors = smooth(Smoothing(**plain), values, seen)
            free = 1 + sum(bool(p) for p in (last.beta, last.gamma, last.phi != 1))
            spread = float(np.square(errors).sum() / max(1, int(seen.sum()) - free))
            found.append(_ahead(last, spread, horizon))
        return found

    def _forecast(self, past: SeriesSet, horizon: int) -> Distribution:
        return gaussian_marginals(self._moments(past, horizon))

    def _paths(self, past: SeriesSet, horizon: int, n: int, source: torch.Generator) -> Tensor:
        return gaussian_paths(self._moments(past, horizon), n, source)

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}


def _ahead(last: Smoothing, spread: float, horizon: int) -> Moments:
    """Return mean and covariance of what follows: the error of step i moves every later step j by c_(j-i)."""
    steps, m = np.arange(1, horizon + 1), len(last.seasonal)
    damped = np.cumsum(last.phi**steps)
    mean = last.level + last.trend * damped + (last.seasonal[(steps - 1) % m] if m else 0.0)
    moved = last.alpha + last.beta * damped + (last.gamma * (steps % m == 0) if m else 0.0)
    coefficients = np.concatenate([[1.0], moved[:-1]])
    lag = steps[:, None] - steps
    spread_out = np.where(lag >= 0, coefficients[np.maximum(lag, 0)], 0.0)
    return Moments(mean, spread * spread_out @ spread_out.T)


def _estimate(values: Floats, trend: str, season: int) -> tuple[float, Smoothing]:
    """Return the corrected information criterion and the model that maximizes the likelihood."""
    try:
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel
    except ImportError:
        mend = "pip install 'gradus-dl[timeseries]', or use a NaiveForecaster"
        raise MissingExtraError("statsmodels for exponential smoothing", "no such package", mend) from None
    with warnings.catch_warnings():
        # an optimum at the border of the allowed parameters is an answer, not a failure
        warnings.simplefilter("ignore")
        fitted = ETSModel(
            values,
            error="add",
            trend=None if trend == "none" else "add",
            damped_trend=trend == "damped",
            seasonal="add" if season else None,
            seasonal_periods=season or None,
            initialization_method="heuristic" if season > MANY_STATES else "estimated",
        ).fit(disp=False)
    smoothing_level = float(fitted.smoothing_level)
    model = Smoothing(
        alpha=smoothing_level,
        beta=0.0 if trend == "none" else float(fitted.smoothing_trend),
        gamma=float(fitted.smoothing_seasonal) if season else 0.0,
        phi=float(fitted.damping_trend) if trend == "damped" else 1.0,
        level=float(fitted.initial_level),
        trend=0.0 if trend == "none" else float(fitted.initial_trend),
        seasonal=np.asarray(fitted.initial_seasonal, dtype=np.float64) if season else np.empty(0),
    )
    return float(fitted.aicc), model
