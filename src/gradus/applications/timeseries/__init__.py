"""Series in time: forecasts with their uncertainty, backtests, and classes of whole series (chapter 10, §12.4)."""

from __future__ import annotations

from gradus.applications.timeseries.application import SeriesApplication
from gradus.applications.timeseries.backtest import Backtest, backtest, compare_backtests
from gradus.applications.timeseries.baselines import NaiveForecaster
from gradus.applications.timeseries.classical import NearestSeriesClassifier, RandomConvolutionClassifier
from gradus.applications.timeseries.classification import SequenceClassifier
from gradus.applications.timeseries.forecaster import Forecaster
from gradus.applications.timeseries.recognition import looks_like_series
from gradus.applications.timeseries.series import SeriesSet, read_series
from gradus.applications.timeseries.smoothing import ExponentialSmoothing

__all__ = [
    "Backtest",
    "ExponentialSmoothing",
    "Forecaster",
    "NaiveForecaster",
    "NearestSeriesClassifier",
    "RandomConvolutionClassifier",
    "SequenceClassifier",
    "SeriesApplication",
    "SeriesSet",
    "backtest",
    "compare_backtests",
    "looks_like_series",
    "read_series",
]
