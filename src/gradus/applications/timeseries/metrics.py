"""Errors of forecasts, of single numbers and of distributions, and intervals over origins that may overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from gradus.core.errors import InputError

__all__ = [
    "CRPS_LEVELS",
    "coverage",
    "crps",
    "interval_over_origins",
    "mae",
    "mase",
    "mase_scale",
    "pinball",
    "rmse",
    "smape",
]

Floats = NDArray[np.float64]
# The middles of fifty equal parts of (0, 1): the mean over them is the integral that the CRPS is.
CRPS_LEVELS: tuple[float, ...] = tuple((np.arange(50) + 0.5) / 50)


def _pair(truth: ArrayLike, forecast: ArrayLike) -> tuple[Floats, Floats]:
    y, said = np.asarray(truth, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if y.shape != said.shape or not y.size:
        mend = "forecast the same steps"
        raise InputError("forecasts of the shape of the truth", f"{said.shape} and {y.shape}", mend)
    return y, said


def mae(truth: ArrayLike, forecast: ArrayLike) -> float:
    """Return the mean absolute error, in units of the series.

    Examples
    --------
    >>> mae([1.0, 2.0], [2.0, 4.0])
    1.5
    """
    y, said = _pair(truth, forecast)
    return float(np.abs(y - said).mean())


def rmse(truth: ArrayLike, forecast: ArrayLike) -> float:
    """Return the root of the mean squared error, in units of the series.

    Examples
    --------
    >>> rmse([0.0, 0.0], [3.0, 4.0])  # the root of 25 / 2
    3.5355339059327378
    """
    y, said = _pair(truth, forecast)
    return float(np.sqrt(np.square(y - said).mean()))


def smape(truth: ArrayLike, forecast: ArrayLike) -> float:
    r"""Return the symmetric mean absolute percentage error, in per cent from 0 to 200.

    The mean of :math:`200\,|y-\hat y|/(|y|+|\hat y|)`; a zero that was forecast as zero has no error.

    Examples
    --------
    >>> smape([1.0, 0.0], [3.0, 0.0])
    50.0

    References
    ----------
    Makridakis & Hibon 2000, The M3-Competition, Appendix A.
    """
    y, said = _pair(truth, forecast)
    return float(smape_parts(y, said).mean())


def smape_parts(y: Floats, said: Floats) -> Floats:
    """Return what each step adds to `smape`."""
    size = np.abs(y) + np.abs(said)
    return 200 * np.abs(y - said) / np.where(size > 0, size, 1.0)


def mase_scale(history: ArrayLike, season: int = 1) -> float:
    """Return the mean absolute error of the seasonal naive forecast within a history.

    Examples
    --------
    >>> mase_scale([1.0, 5.0, 2.0, 8.0], season=2)
    2.0
    """
    past = np.asarray(history, dtype=np.float64)
    if past.ndim != 1 or len(past) <= season:
        raise InputError(f"a history of more than {season} values", f"shape {past.shape}", "pass a longer one")
    return float(np.abs(past[season:] - past[:-season]).mean())


def mase(truth: ArrayLike, forecast: ArrayLike, history: ArrayLike, season: int = 1) -> float:
    """Return the mean absolute scaled error: 1 is as far off as the seasonal naive forecast within the history.

    Parameters
    ----------
    truth, forecast : array_like of one shape
        What came, and what was said.
    history : array_like, shape (time,)
        Values before the origin; nothing later may scale the error.
    season : int
        Steps of a season.

    Examples
    --------
    >>> mase([10.0, 10.0], [12.0, 14.0], history=[1.0, 2.0, 4.0])
    2.0

    References
    ----------
    Hyndman & Koehler 2006, Another Look at Measures of Forecast Accuracy, §4.
    """
    scale = mase_scale(history, season)
    error = mae(truth, forecast)
    return error / scale if scale else float("inf") if error else 0.0


def pinball(truth: ArrayLike, quantiles: ArrayLike, levels: Sequence[float]) -> float:
    r"""Return the mean pinball loss over steps and levels, in units of the series.

    :math:`\max(\tau (y-q), (\tau-1)(y-q))`: at the median half the absolute error.

    Parameters
    ----------
    truth : array_like, shape (...)
        What came.
    quantiles : array_like, shape (..., levels)
        What was said.
    levels : sequence of float
        In (0, 1).

    Examples
    --------
    >>> round(pinball([10.0], [[8.0, 11.0]], levels=(0.1, 0.9)), 9)  # (0.1 * 2 + 0.1 * 1) / 2
    0.15
    """
    return float(pinball_parts(*_quantiles(truth, quantiles, levels)).mean())


def _quantiles(truth: ArrayLike, quantiles: ArrayLike, levels: Sequence[float]) -> tuple[Floats, Floats, Floats]:
    y, q = np.asarray(truth, dtype=np.float64), np.asarray(quantiles, dtype=np.float64)
    if q.shape != (*y.shape, len(levels)) or not q.size:
        expected = f"quantiles of shape {(*y.shape, len(levels))}"
        raise InputError(expected, str(q.shape), "put the levels on the last axis")
    return y, q, np.asarray(levels, dtype=np.float64)


def pinball_parts(y: Floats, q: Floats, levels: Floats) -> Floats:
    """Return the pinball loss of each step and level."""
    error = y[..., None] - q
    return np.maximum(levels * error, (levels - 1) * error)


def crps(truth: ArrayLike, quantiles: ArrayLike, levels: Sequence[float] = CRPS_LEVELS) -> float:
    r"""Return the mean continuous ranked probability score, in units of the series.

    :math:`\int (F(x) - [x \ge y])^2 dx = 2\int_0^1 \text{pinball}_\tau\,d\tau`, the integral as a mean over levels
    that stand for equal parts of (0, 1). Of a forecast without spread it is the absolute error.

    Parameters
    ----------
    truth : array_like, shape (...)
        What came.
    quantiles : array_like, shape (..., levels)
        What was said, at ``CRPS_LEVELS`` unless others are given.
    levels : sequence of float
        The middles of equal parts.

    Examples
    --------
    >>> round(crps([3.0], [[1.0] * 50]), 10)
    2.0

    References
    ----------
    Gneiting & Raftery 2007, Strictly Proper Scoring Rules, §4.2.
    """
    return 2 * pinball(truth, quantiles, levels)


def coverage(truth: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Return the share of values within their intervals, ends included.

    Examples
    --------
    >>> coverage([1.0, 5.0], [0.0, 0.0], [1.0, 4.0])
    0.5
    """
    y, below = _pair(truth, low)
    _, above = _pair(truth, high)
    return float(((y >= below) & (y <= above)).mean())


def interval_over_origins(values: ArrayLike, overlap: int = 1) -> tuple[float, float]:
    """Return the 95 % interval of the mean of values that came one an origin.

    Student's interval with the variance of a mean of dependent values: covariances up to ``overlap - 1`` origins
    apart are counted, with the small-sample correction of Harvey, Leybourne and Newbold; with ``overlap=1`` it is
    Student's own. Dependence beyond the overlap is not seen, so a regime that lasts longer makes it too narrow.

    Parameters
    ----------
    values : array_like, shape (origins,)
        Mean error of each origin, in the order of time.
    overlap : int
        Origins whose forecast steps overlap: ``ceil(horizon / step)``.

    Returns
    -------
    low, high : float
        Infinite where there are too few origins to say.

    References
    ----------
    Diebold & Mariano 1995, Comparing Predictive Accuracy; Harvey, Leybourne & Newbold 1997, eq. 8.
    """
    v = np.asarray(values, dtype=np.float64)
    n = len(v)
    factor = (n + 1 - 2 * overlap + overlap * (overlap - 1) / n) / n if n else 0.0
    if n < 2 or factor <= 0:
        return -np.inf, np.inf
    centred = v - v.mean()
    own = float(centred @ centred / n)
    shared = sum(float(centred[k:] @ centred[:-k] / n) for k in range(1, min(overlap, n)))
    # the estimate may fall below zero, which no variance is: then the overlap is left out
    variance = own + 2 * shared if own + 2 * shared > 0 else own
    half = float(stdtrit(n - 1, 0.975)) * np.sqrt(variance / n / factor)
    return float(v.mean() - half), float(v.mean() + half)
