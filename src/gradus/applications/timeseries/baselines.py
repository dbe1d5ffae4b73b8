"""Forecasts that need no learning, with the intervals their models imply: what a network has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from gradus.applications.timeseries.contract import ForecastEstimator
from gradus.applications.timeseries.series import SeriesSet
from gradus.core.errors import InputError
from gradus.core.options import option

__all__ = ["Moments", "NaiveForecaster", "gaussian_marginals", "gaussian_paths"]

Floats = NDArray[np.float64]
METHODS = ("seasonal", "last", "drift", "mean")


class Moments(NamedTuple):
    """Mean of each step ahead, and the covariance between steps."""

    mean: Floats
    covariance: Floats


def gaussian_marginals(moments: list[Moments]) -> Distribution:
    """Return the normal distribution of each step by itself, of batch shape (series, horizon)."""
    means = np.stack([m.mean for m in moments])
    deviations = np.sqrt(np.stack([np.diag(m.covariance) for m in moments]))
    # A constant series has no spread, and a normal distribution needs one.
    least = np.maximum(1e-12 * np.abs(means), 1e-12)
    return Normal(torch.from_numpy(means), torch.from_numpy(np.maximum(deviations, least)))


def gaussian_paths(moments: list[Moments], n: int, source: torch.Generator) -> Tensor:
    """Return draws from each series' joint normal distribution, shape (n, series, horizon)."""
    drawn = []
    for mean, covariance in moments:
        values, vectors = np.linalg.eigh(covariance)  # no Cholesky: the covariance of a constant series is zero
        root = torch.from_numpy(vectors * np.sqrt(np.clip(values, 0, None)))
        white = torch.randn(n, len(mean), generator=source, dtype=torch.float64)
        drawn.append(torch.from_numpy(mean) + white @ root.T)
    return torch.stack(drawn, 1)


@dataclass(kw_only=True, eq=False, repr=False)
class NaiveForecaster(ForecastEstimator):
    r"""Say that things stay as they are: the last value, the last season, the last trend, or the mean.

    With the residuals' standard deviation :math:`\sigma` in the history, the deviation h steps ahead is
    :math:`\sigma\sqrt{h}` for ``"last"`` (a random walk), :math:`\sigma\sqrt{k+1}` for ``"seasonal"`` with k whole
    seasons between, :math:`\sigma\sqrt{h(1+h/(T-1))}` for ``"drift"`` and :math:`\sigma\sqrt{1+1/T}` for ``"mean"``.
    Paths are drawn from the same models.

    Examples
    --------
    >>> model = NaiveForecaster(method="drift", horizon=2).fit([1.0, 2.0, 3.0, 5.0])
    >>> model.predict().round(2).tolist()
    [6.33, 7.67]

    References
    ----------
    Hyndman & Athanasopoulos 2021, Forecasting: Principles and Practice, §5.2 and table 5.2.
    """

    method: Literal["seasonal", "last", "drift", "mean"] = option("seasonal", "what stays as it is")

    def fit(self, series: Any) -> Self:
        """Keep the history.

        Parameters
        ----------
        series : array-like, Series, DataFrame or SeriesSet
            As in `read_series`.

        Returns
        -------
        self
        """
        self.check_settings()
        past = self._learn_series(series)
        self._check_length(past)
        return self

    def _check_length(self, past: SeriesSet) -> None:
        needed = self.season_ + 1 if self.method == "seasonal" else 3 if self.method == "drift" else 2
        if min(past.lengths) < needed:
            expected = f"{needed} values or more for method={self.method!r}"
            mend = "pass a longer history, or set method='last'"
            raise InputError(expected, f"a series of {min(past.lengths)}", mend)

    def _moments(self, values: Floats, seen: NDArray[np.bool_], horizon: int) -> Moments:
        n, steps = len(values), np.arange(1, horizon + 1)
        earlier = np.minimum.outer(steps, steps)
        if self.method == "mean":
            mean = values[seen].mean()
            spread = _variance(values[seen] - mean, 1)
            return Moments(np.full(horizon, mean), spread * (np.eye(horizon) + 1 / seen.sum()))
        lag = self.season_ if self.method == "seasonal" else 1
        slope = (values[-1] - values[0]) / (n - 1) if self.method == "drift" else 0.0
        known = seen[lag:] & seen[:-lag]
        spread = _variance((values[lag:] - values[:-lag] - slope)[known], int(self.method == "drift"))
        if self.method == "seasonal":
            seasons, phase = (steps - 1) // lag, (steps - 1) % lag
            shared = np.minimum.outer(seasons, seasons) + 1
            return Moments(values[n - lag + phase], spread * shared * (phase[:, None] == phase))
        covariance = earlier.astype(np.float64)
        if self.method == "drift":  # the slope is an estimate, and its error grows with every step
            covariance = covariance + np.multiply.outer(steps, steps) / (n - 1)
        return Moments(values[-1] + slope * steps, spread * covariance)

    def _all_moments(self, past: SeriesSet, horizon: int) -> list[Moments]:
        self._check_length(past)
        return [self._moments(v, o, horizon) for v, o in zip(past.values, past.observed, strict=True)]

    def _forecast(self, past: SeriesSet, horizon: int) -> Distribution:
        return gaussian_marginals(self._all_moments(past, horizon))

    def _paths(self, past: SeriesSet, horizon: int, n: int, source: torch.Generator) -> Tensor:
        return gaussian_paths(self._all_moments(past, horizon), n, source)

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}


def _variance(residuals: Floats, parameters: int) -> float:
    """Return the mean square of residuals, those that the parameters used up left out of the count."""
    return float(np.square(residuals).sum() / max(1, len(residuals) - parameters)) if len(residuals) else 0.0
