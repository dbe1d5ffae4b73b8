"""Contests: what rungs are fitted to, and what decides between them, for each kind of data.

Rows with a target are judged by a metric of each row's answer, a text by the bits it takes to code it, series in time
by forecasts from one origin after another.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from gradus.applications.timeseries.application import SeriesApplication
from gradus.applications.timeseries.backtest import METRICS as FORECAST_METRICS
from gradus.applications.timeseries.backtest import Backtest, compare_backtests
from gradus.core.errors import GradusError
from gradus.practice.intervals import bca
from gradus.practice.ladder import Rung
from gradus.practice.metrics import (
    METRICS,
    Comparison,
    Measure,
    Metric,
    Prediction,
    Score,
    compare,
    metric_named,
    predict,
    score,
)

__all__ = ["ForecastContest", "Labelled", "Part", "TextAnswers", "TextContest"]


class Part(NamedTuple):
    """One part of a split: inputs, target, and what each row counts (None: the same)."""

    X: Any
    y: Any
    weight: Any = None


class Labelled:
    """Rows with a target: every rung learns the same ones, and one metric of their answers decides.

    Parameters
    ----------
    train, valid, test : Part or tuple
        ``(X, y)`` or ``(X, y, weight)``. Without a test part only validation scores are known.
    metric : str or Metric
        What decides.
    """

    counted = "rows"

    def __init__(
        self,
        train: Part | tuple[Any, ...],
        valid: Part | tuple[Any, ...],
        test: Part | tuple[Any, ...] | None,
        metric: str | Metric,
    ) -> None:
        self.train, self.valid = Part(*train), Part(*valid)
        self.test = None if test is None else Part(*test)
        self.metric = metric_named(metric)
        self.tested = test is not None

    def fit(self, estimator: Any, rung: Rung) -> Any:
        """Fit one rung to the training part, or to the stream of which that is a sample."""
        train, valid = self.train, self.valid
        if rung.stream is None:
            return estimator.fit(train.X, train.y, **_fit_arguments(estimator, train, valid))
        return estimator.fit_stream(rung.stream, (train.X, train.y), valid.X, valid.y)

    def judge(self, fitted: Any, part: Literal["valid", "test"]) -> tuple[Prediction, Score]:
        """Return a fitted rung's answers on a part, and their score."""
        rows = self._part(part)
        prediction = predict(fitted, rows.X)
        return prediction, score(self.metric, rows.y, prediction, rows.weight)

    def compare(self, first: Prediction, second: Prediction) -> Comparison:
        """Compare two rungs' answers on the test part."""
        rows = self._part("test")
        return compare(self.metric, rows.y, first, second, rows.weight)

    def others(self, answers: Prediction) -> Iterator[tuple[Metric, Score]]:
        """Yield the scores of every metric that applies to answers on the test part."""
        rows = self._part("test")
        for other in METRICS.values():
            if getattr(answers, other.needs) is None:
                continue
            try:
                found = score(other, rows.y, answers, rows.weight)
            except GradusError:  # this metric is not defined here, such as the ROC area of one class
                continue
            yield other, found

    def _part(self, name: Literal["valid", "test"]) -> Part:
        part = self.valid if name == "valid" else self.test
        if part is None:
            raise GradusError("a test part to judge by", "none", "pass one")
        return part


def _fit_arguments(estimator: Any, train: Part, valid: Part) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if "X_val" in inspect.signature(estimator.fit).parameters:
        arguments |= {"X_val": valid.X, "y_val": valid.y}
    if train.weight is not None:
        last = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
        arguments[f"{last}sample_weight"] = train.weight
    return arguments


# ---- text ----

BITS = Measure(
    "bits_per_byte", False, "bits", "length of an ideal code of the text by the model's probabilities, over its bytes"
)
_OF_CHARACTERS = (
    Measure("nats_per_character", False, "nats", "surprise at the text, over its characters"),
    Measure("perplexity_per_character", False, "number", "how many characters the model wavers between, in effect"),
)
BLOCK_CHARACTERS = 1000


@dataclass(frozen=True, eq=False)
class TextAnswers:
    """What a language model said of the texts of one part.

    Attributes
    ----------
    logs : list of ndarray of shape (tokens,)
        Log-probability of each token of each text, in nats.
    blocks : ndarray of shape (blocks, 3)
        Nats, bytes and characters of each block of about a thousand characters.
    """

    logs: list[np.ndarray]
    blocks: np.ndarray


class TextContest:
    """Texts to be predicted token by token: the model that codes unseen text in fewest bits wins.

    Models may cut text into different tokens, so their scores are taken over bytes. Intervals come from blocks of
    about a thousand characters, a token counting for the block in which it would lie if all tokens were equally long.

    Parameters
    ----------
    train, valid, test : list of str
        The texts of each part.
    """

    counted = "blocks of text"
    tested = True

    def __init__(self, train: list[str], valid: list[str], test: list[str]) -> None:
        self.metric = BITS
        self.train, self.parts = train, {"valid": valid, "test": test}

    def fit(self, estimator: Any, rung: Rung) -> Any:
        """Fit one model to the training texts."""
        watched = "X_val" in inspect.signature(estimator.fit).parameters
        return estimator.fit(self.train, **({"X_val": self.parts["valid"]} if watched else {}))

    def judge(self, fitted: Any, part: Literal["valid", "test"]) -> tuple[TextAnswers, Score]:
        """Return the probabilities of a part's tokens, and the bits they amount to."""
        texts = self.parts[part]
        logs = fitted.token_log_probabilities(texts)
        answers = TextAnswers(logs, np.concatenate([_blocks(t, found) for t, found in zip(texts, logs, strict=True)]))
        return answers, _ratio(answers.blocks, 1, math.log(2))

    def compare(self, first: TextAnswers, second: TextAnswers) -> Comparison:
        """Compare the bits that two models need for the same blocks."""
        a, b = first.blocks, second.blocks
        columns = np.stack([a[:, 0], b[:, 0], a[:, 1]], axis=1)

        def gap(s: np.ndarray) -> Any:
            return (s[..., 0] - s[..., 1]) / s[..., 2] / math.log(2)

        low, high, how = bca(columns, gap)
        better: Any = "second" if low > 0 else "first" if high < 0 else None
        return Comparison(float(gap(columns.sum(0))), low, high, len(a), f"paired {how}", better)

    def others(self, answers: TextAnswers) -> Iterator[tuple[Measure, Score]]:
        """Yield nats and perplexity a character."""
        yield self.metric, _ratio(answers.blocks, 1, math.log(2))
        nats = _ratio(answers.blocks, 2, 1.0)
        yield _OF_CHARACTERS[0], nats
        value, low, high = np.exp(np.clip([nats.value, nats.low, nats.high], None, 700)).tolist()
        yield _OF_CHARACTERS[1], Score(value, low, high, nats.n, nats.how)


def _blocks(text: str, logs: np.ndarray) -> np.ndarray:
    """Return nats, bytes and characters of each block of a text."""
    n = max(1, round(len(text) / BLOCK_CHARACTERS))
    cuts = [round(len(text) * k / n) for k in range(n + 1)]
    pieces = [text[a:b] for a, b in pairwise(cuts)]
    at = np.minimum(np.arange(len(logs)) * n // max(1, len(logs)), n - 1)
    nats = np.bincount(at, weights=-logs, minlength=n)
    sizes = [(len(piece.encode("utf-8", "surrogatepass")), len(piece)) for piece in pieces]
    return np.column_stack([nats, np.array(sizes, dtype=np.float64)])


def _ratio(blocks: np.ndarray, below: int, unit: float) -> Score:
    def ratio(s: np.ndarray) -> Any:
        return s[..., 0] / s[..., 1] / unit

    columns = blocks[:, [0, below]]
    value = float(ratio(columns.sum(0)))
    low, high, how = bca(columns, ratio)
    return Score(value, min(low, value), max(high, value), len(blocks), how)


# ---- series in time ----


class ForecastContest:
    """Series to be forecast from one origin after another; the mean absolute scaled error decides.

    A forecaster is fitted once to what lies before the first origin of a part, and once more, when it was chosen, to
    the whole history.

    Parameters
    ----------
    app : SeriesApplication
        The series with their horizon and origins.
    """

    counted = "origins"
    tested = True

    def __init__(self, app: SeriesApplication) -> None:
        self.app = app
        self.measures = {name: _forecast_measure(name, meaning) for name, meaning in FORECAST_METRICS.items()}
        self.metric = self.measures[app.metric]
        self._validated: dict[int, Backtest] = {}

    def fit(self, estimator: Any, rung: Rung) -> Any:
        """Fit one forecaster to the history before the validation part, and forecast that."""
        found = self.app.judge(_of_part(estimator, "valid"), "valid")
        self._validated[id(found.model)] = found
        return found.model

    def judge(self, fitted: Any, part: Literal["valid", "test"]) -> tuple[Backtest, Score]:
        """Return the forecasts of a part with what came, and their score."""
        found = self._validated[id(fitted)] if part == "valid" else self.app.judge(_of_part(fitted, "test"), "test")
        return found, self._score(found, self.metric.name)

    def compare(self, first: Backtest, second: Backtest) -> Comparison:
        """Compare two forecasters on the same origins."""
        gap = compare_backtests(first, second, self.metric.name)
        return Comparison(gap.difference, gap.low, gap.high, first.n_origins, OVER_ORIGINS, gap.better)

    def others(self, answers: Backtest) -> Iterator[tuple[Measure, Score]]:
        """Yield every metric of a backtest."""
        for name, measure in self.measures.items():
            yield measure, self._score(answers, name)

    def finish(self, fitted: Any) -> Any:
        """Fit a forecaster anew, to the whole history."""
        return self.app.finish(_of_part(fitted, "whole"))

    def _score(self, found: Backtest, name: str) -> Score:
        row = found.table.set_index("metric").loc[name]
        return Score(float(row["value"]), float(row["low"]), float(row["high"]), found.n_origins, OVER_ORIGINS)


OVER_ORIGINS = "Student's interval over origins"


def _forecast_measure(name: str, meaning: str) -> Measure:
    units = {"mase": "", "coverage": "", "smape": "per cent"}
    return Measure(name, name == "coverage", units.get(name, "target"), meaning)


def _of_part(estimator: Any, part: str) -> Any:
    """Return an unfitted copy that keeps its checkpoints apart from those of the other parts."""
    copy = clone(estimator)
    folder = getattr(copy, "checkpoint", None)
    if folder is not None:
        base = Path(folder)
        copy.checkpoint = str((base.parent if base.name in ("valid", "test") else base) / part)
    return copy
