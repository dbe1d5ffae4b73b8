"""The ladder: what a network has to beat, fitted on the same rows and judged by the same metric.

A network that loses to a linear model is a fault or a lesson, and only a baseline shows it (Goodfellow et al.
2016, §11.2). A ladder starts with a guess that looks at nothing, goes over a linear model (and boosted trees
for tables) to the network, chooses by the validation part and opens the test part once.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline

from gradus.core.errors import GradusError, SettingError, StorageError
from gradus.practice.metrics import (
    METRICS,
    Comparison,
    Metric,
    Prediction,
    Score,
    compare,
    metric_named,
    predict,
    score,
)
from gradus.practice.preparation import BoostedTrees, PixelScaler, table_to_numbers
from gradus.practice.wording import listed

__all__ = ["Ladder", "LadderRow", "Part", "Rung", "baselines", "climb"]

Kind = Literal["trivial", "classical", "network"]


class Part(NamedTuple):
    """One part of a split: inputs, target, and what each row counts (None: the same)."""

    X: Any
    y: Any
    weight: Any = None


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    Attributes
    ----------
    name : str
        As shown to the user.
    kind : {"trivial", "classical", "network"}
        What family it is of.
    estimator : estimator
        Unfitted; with ``X_val`` and ``y_val`` in its ``fit`` it is shown the validation part.
    why : str
        What its score tells.
    stream : callable, optional
        Where the training part is only a sample of rows that do not fit in memory: what `fit_stream` of the estimator
        takes for all of them.
    """

    name: str
    kind: Kind
    estimator: Any
    why: str
    stream: Callable[..., Any] | None = None


@dataclass
class LadderRow:
    """What became of a rung: scores, times in seconds, notes, or the reason it failed."""

    name: str
    kind: Kind
    why: str
    status: Literal["fitting", "done", "failed"] = "fitting"
    valid: Score | None = None
    test: Score | None = None
    fit_seconds: float | None = None
    predict_seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass
class Ladder:
    """A climbed ladder.

    Attributes
    ----------
    metric : Metric
        What it was judged by.
    rows : list of LadderRow
        In the order climbed, failed ones included.
    chosen : str
        The rung with the best validation score.
    against : dict of str to Comparison
        The chosen rung minus each other one, on the test part.
    fitted : dict of str to estimator
        The fitted rungs.
    predictions : dict of str to Prediction
        Their answers on the test part.
    test_scores : dict of str to Score
        Every other metric that applies, for the chosen rung on the test part.
    """

    metric: Metric
    rows: list[LadderRow]
    chosen: str
    against: dict[str, Comparison]
    fitted: dict[str, Any]
    predictions: dict[str, Prediction]
    test_scores: dict[str, Score]

    def row(self, name: str) -> LadderRow:
        """Return the row of that rung."""
        return next(row for row in self.rows if row.name == name)

    @property
    def ties(self) -> list[str]:
        """Rungs the test part cannot tell from the chosen one (the interval of the difference holds 0)."""
        return [name for name, comparison in self.against.items() if comparison.better is None]

    def verdict(self) -> str:
        """Say in one or two sentences which rung won, and whether that is more than noise."""
        row = self.row(self.chosen)
        if row.test is None:
            return f"The best rung on the validation part is {self.chosen}; nothing was tested."
        unit, show = " nats" if self.metric.unit == "nats" else "", self.metric.show
        text = (
            f"The best rung is {self.chosen}: {self.metric.name} {show(row.test.value)}{unit} "
            f"on the test part (95 % interval {show(row.test.low)} to {show(row.test.high)})"
        )
        trivial = next((r for r in self.rows if r.kind == "trivial" and r.test), None)
        if trivial is row:
            text += "; nothing on the ladder beats a guess that looks at no input"
        elif trivial is not None and trivial.test is not None:
            text += f", against {show(trivial.test.value)} for {trivial.name}"
        text += "."
        better = [name for name, c in self.against.items() if c.better == "second"]
        if better:
            text += f" On the test part {listed(better)} did better, but the choice was made before."
        if self.ties:
            text += f" {listed(self.ties)} cannot be told from it on {row.test.n} rows."
        return text


def baselines(
    task: str,
    kind: str,
    n_rows: int,
    n_columns: int,
    seed: int = 0,
) -> list[Rung]:
    """Return the rungs below the network, the simplest first.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is predicted.
    kind : {"table", "images"}
        A table is a pandas frame (numbers, categories, dates, text, gaps) or a 2-D array; images are an array
        of shape (n, height, width[, channels]), bytes or floats.
    n_rows, n_columns : int
        Size of the training part, columns or values in an image; bounds the iterations spent.
    seed : int
        Seed of everything random.

    Raises
    ------
    SettingError
        If the task or kind is unknown.

    Examples
    --------
    >>> [rung.name for rung in baselines("classification", "images", 1000, 64)]
    ['most frequent class', 'logistic regression on pixels']
    >>> [rung.name for rung in baselines("regression", "table", 1000, 8)]
    ['mean', 'ridge regression', 'boosted trees']
    """
    if task not in ("classification", "regression") or kind not in ("table", "images"):
        raise SettingError(
            "task classification or regression, kind table or images",
            f"{task!r}, {kind!r}",
            "choose one of these",
        )
    large = n_rows * n_columns > 5_000_000
    prepare = PixelScaler() if kind == "images" else table_to_numbers()
    of_pixels = " on pixels" if kind == "images" else ""
    if task == "classification":
        guess = Rung("most frequent class", "trivial", DummyClassifier(strategy="prior"), "looks at no input")
        model: Any = LogisticRegression(max_iter=60 if large else 300, tol=1e-3)
        name, why = "logistic regression", "a linear boundary: what needs no depth"
    else:
        guess = Rung("mean", "trivial", DummyRegressor(), "looks at no input")
        model = RidgeCV(alphas=np.logspace(-2, 4, 13))
        name, why = "ridge regression", "a linear answer: what needs no depth"
    rungs = [guess, Rung(name + of_pixels, "classical", make_pipeline(prepare, model), why)]
    if kind == "table":
        why = "hard to beat on tables: steps and interactions, gaps and categories as they are"
        rungs.append(Rung("boosted trees", "classical", BoostedTrees(task=task, random_state=seed), why))
    return rungs


def climb(
    rungs: Sequence[Rung],
    train: Part | tuple[Any, ...],
    valid: Part | tuple[Any, ...],
    test: Part | tuple[Any, ...] | None,
    metric: str | Metric,
    *,
    on_rung: Callable[[LadderRow], None] | None = None,
) -> Ladder:
    """Fit every rung on the same rows, choose by the validation part, then score all on the test part, once.

    A rung that fails is kept with its reason; warnings become notes of its row.

    Parameters
    ----------
    rungs : sequence of Rung
        With different names.
    train, valid, test : Part or tuple
        ``(X, y)`` or ``(X, y, weight)``. Without a test part only validation scores are known.
    metric : str or Metric
        What decides.
    on_rung : callable, optional
        Called with the row when a rung starts (``status`` "fitting") and when it ends.

    Raises
    ------
    SettingError
        If two rungs share a name.
    GradusError
        If no rung could be fitted; the reason of the first is given.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> ladder = climb(baselines("classification", "table", 75, 4)[:2], (X[::2], y[::2]), (X[1::4], y[1::4]),
    ...                (X[3::4], y[3::4]), "accuracy")
    >>> ladder.chosen, ladder.row("most frequent class").valid.value < 0.4
    ('logistic regression', True)
    """
    metric = metric_named(metric)
    train, valid = Part(*train), Part(*valid)
    names = [rung.name for rung in rungs]
    if len(set(names)) != len(names):
        raise SettingError("rungs with different names", ", ".join(names), "rename one")
    rows, fitted = [], {}
    for rung in rungs:
        row = LadderRow(rung.name, rung.kind, rung.why)
        rows.append(row)
        if on_rung:
            on_rung(row)
        estimator = _climb_one(rung, row, train, valid, metric)
        if estimator is not None:
            fitted[rung.name] = estimator
        if on_rung:
            on_rung(row)
    done = [row for row in rows if row.valid is not None and np.isfinite(row.valid.value)]
    if not done:
        reason = rows[0].error if rows else "no rung"
        raise GradusError("at least one rung to succeed", str(reason), "look at the notes of the data")
    sign = 1.0 if metric.higher_is_better else -1.0
    chosen = max(done, key=lambda row: sign * row.valid.value).name  # type: ignore[union-attr]
    ladder = Ladder(metric, rows, chosen, {}, fitted, {}, {})
    if test is not None:
        _open_test(ladder, Part(*test))
    return ladder


def _climb_one(rung: Rung, row: LadderRow, train: Part, valid: Part, metric: Metric) -> Any:
    estimator = clone(rung.estimator)
    start = time.perf_counter()
    try:
        with _noted(row.notes):
            if rung.stream is None:
                estimator.fit(train.X, train.y, **_fit_arguments(estimator, train, valid))
            else:
                estimator.fit_stream(rung.stream, (train.X, train.y), valid.X, valid.y)
        row.fit_seconds = time.perf_counter() - start
        row.valid = _scored(row, estimator, valid, metric)[1]
        row.status = "done"
        return estimator
    except StorageError:  # a full disk or a damaged checkpoint is nothing the rung did
        raise
    except Exception as error:  # whatever a rung dies of, the ladder goes on and says so
        row.fit_seconds = row.fit_seconds or time.perf_counter() - start
        row.status, row.error = "failed", _reason(error)
        return None


def _scored(row: LadderRow, estimator: Any, part: Part, metric: Metric) -> tuple[Prediction, Score]:
    start = time.perf_counter()
    with _noted(row.notes):
        prediction = predict(estimator, part.X)
    row.predict_seconds = time.perf_counter() - start
    return prediction, score(metric, part.y, prediction, part.weight)


def _open_test(ladder: Ladder, test: Part) -> None:
    for row in ladder.rows:
        if row.name not in ladder.fitted:
            continue
        try:
            ladder.predictions[row.name], row.test = _scored(row, ladder.fitted[row.name], test, ladder.metric)
        except Exception as error:  # as above; a category unseen so far may break a strange rung
            row.error = _reason(error)
    first = ladder.predictions.get(ladder.chosen)
    if first is None:
        reason = str(ladder.row(ladder.chosen).error)
        raise GradusError(f"answers of {ladder.chosen} on the test part", reason, "look at the notes of the data")
    for name, second in ladder.predictions.items():
        if name != ladder.chosen:
            ladder.against[name] = compare(ladder.metric, test.y, first, second, test.weight)
    for other in METRICS.values():
        if getattr(first, other.needs) is None:
            continue
        try:
            ladder.test_scores[other.name] = score(other, test.y, first, test.weight)
        except GradusError:  # this metric is not defined here, such as the ROC area of one class
            continue


def _fit_arguments(estimator: Any, train: Part, valid: Part) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if "X_val" in inspect.signature(estimator.fit).parameters:
        arguments |= {"X_val": valid.X, "y_val": valid.y}
    if train.weight is not None:
        last = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
        arguments[f"{last}sample_weight"] = train.weight
    return arguments


def _reason(error: BaseException) -> str:
    first = str(error).strip().splitlines()
    return first[0] if first and isinstance(error, GradusError) else f"{type(error).__name__}: {' '.join(first[:1])}"


@contextmanager
def _noted(notes: list[str]) -> Iterator[None]:
    """Turn the warnings of a rung into notes; deprecations go on to whoever maintains the code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
            continue
        if issubclass(warning.category, ConvergenceWarning):
            note = "stopped before it converged; more iterations may still improve it"
        else:
            note = " ".join(str(warning.message).split())[:200]
        if note not in notes:
            notes.append(note)
