"""The ladder: what a network has to beat, fitted on the same data and judged by the same metric.

A network that loses to a linear model is a fault or a lesson, and only a baseline shows it (Goodfellow et al.
2016, §11.2). A ladder starts with a guess that looks at nothing, goes over a classical model to the network,
chooses by the validation part and opens the test part once. What fitting and judging are, a `Contest` says:
rows with a target, a text, and series in time each have their own.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gradus.core.errors import GradusError, PeerError, SettingError, StorageError
from gradus.practice.metrics import Comparison, Measure, Score
from gradus.practice.wording import listed

__all__ = ["Contest", "Kind", "Ladder", "LadderRow", "Rung", "climb"]

Kind = Literal["trivial", "classical", "network"]


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


class Contest(Protocol):
    """How rungs are fitted, and what decides between them."""

    @property
    def metric(self) -> Measure:
        """What decides."""

    @property
    def counted(self) -> str:
        """What a score is taken over, in the plural: "rows"."""

    @property
    def tested(self) -> bool:
        """Whether there is a test part."""

    def fit(self, estimator: Any, rung: Rung) -> Any:
        """Fit one rung's estimator to the training part, and return what was fitted."""

    def judge(self, fitted: Any, part: Literal["valid", "test"]) -> tuple[Any, Score]:
        """Return a fitted rung's answers on a part, and their score."""

    def compare(self, first: Any, second: Any) -> Comparison:
        """Compare two rungs' answers on the test part."""

    def others(self, answers: Any) -> Iterator[tuple[Measure, Score]]:
        """Yield the scores of every metric that applies to answers on the test part."""


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
    metric : Measure
        What it was judged by.
    rows : list of LadderRow
        In the order climbed, failed ones included.
    chosen : str
        The rung with the best validation score.
    against : dict of str to Comparison
        The chosen rung minus each other one, on the test part.
    fitted : dict of str to estimator
        The fitted rungs.
    answers : dict of str to object
        What they answered on the test part, as the contest keeps it.
    test_scores : dict of str to Score
        Every other metric that applies, for the chosen rung on the test part.
    units : dict of str to str
        Their units.
    counted : str
        What a score is taken over: rows, blocks of text, origins.
    """

    metric: Measure
    rows: list[LadderRow]
    chosen: str
    against: dict[str, Comparison]
    fitted: dict[str, Any]
    answers: dict[str, Any]
    test_scores: dict[str, Score]
    units: dict[str, str] = field(default_factory=dict)
    counted: str = "rows"

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
            text += f" {listed(self.ties)} cannot be told from it on {row.test.n:,} {self.counted}."
        return text


def climb(rungs: Sequence[Rung], contest: Contest, *, on_rung: Callable[[LadderRow], None] | None = None) -> Ladder:
    """Fit every rung, choose by the validation part, then score all on the test part, once.

    A rung that fails is kept with its reason; warnings become notes of its row.

    Parameters
    ----------
    rungs : sequence of Rung
        With different names.
    contest : Contest
        Such as `gradus.practice.contests.Labelled`: rows with a target.
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
    >>> from gradus.practice.baselines import baselines
    >>> from gradus.practice.contests import Labelled
    >>> X, y = load_iris(return_X_y=True)
    >>> contest = Labelled((X[::2], y[::2]), (X[1::4], y[1::4]), (X[3::4], y[3::4]), "accuracy")
    >>> ladder = climb(baselines("classification", "table", 75, 4)[:2], contest)
    >>> ladder.chosen, ladder.row("most frequent class").valid.value < 0.4
    ('logistic regression', True)
    """
    names = [rung.name for rung in rungs]
    if len(set(names)) != len(names):
        raise SettingError("rungs with different names", ", ".join(names), "rename one")
    rows, fitted = [], {}
    for rung in rungs:
        row = LadderRow(rung.name, rung.kind, rung.why)
        rows.append(row)
        if on_rung:
            on_rung(row)
        estimator = _climb_one(rung, row, contest)
        if estimator is not None:
            fitted[rung.name] = estimator
        if on_rung:
            on_rung(row)
    done = [row for row in rows if row.valid is not None and np.isfinite(row.valid.value)]
    if not done:
        reason = rows[0].error if rows else "no rung"
        raise GradusError("at least one rung to succeed", str(reason), "look at the notes of the data")
    sign = 1.0 if contest.metric.higher_is_better else -1.0
    chosen = max(done, key=lambda row: sign * row.valid.value).name  # type: ignore[union-attr]
    ladder = Ladder(contest.metric, rows, chosen, {}, fitted, {}, {}, counted=contest.counted)
    if contest.tested:
        _open_test(ladder, contest)
    return ladder


def _climb_one(rung: Rung, row: LadderRow, contest: Contest) -> Any:
    estimator = clone(rung.estimator)
    start = time.perf_counter()
    try:
        with _noted(row.notes):
            fitted = contest.fit(estimator, rung)
        row.fit_seconds = time.perf_counter() - start
        row.valid = _judged(row, fitted, contest, "valid")[1]
        row.status = "done"
        return fitted
    except (PeerError, StorageError):  # a full disk or another process's end is nothing the rung did
        raise
    except Exception as error:  # whatever a rung dies of, the ladder goes on and says so
        row.fit_seconds = row.fit_seconds or time.perf_counter() - start
        row.status, row.error = "failed", _reason(error)
        return None


def _judged(row: LadderRow, estimator: Any, contest: Contest, part: Literal["valid", "test"]) -> tuple[Any, Score]:
    start = time.perf_counter()
    with _noted(row.notes):
        found = contest.judge(estimator, part)
    row.predict_seconds = time.perf_counter() - start
    return found


def _open_test(ladder: Ladder, contest: Contest) -> None:
    for row in ladder.rows:
        if row.name not in ladder.fitted:
            continue
        try:
            ladder.answers[row.name], row.test = _judged(row, ladder.fitted[row.name], contest, "test")
        except PeerError:
            raise
        except Exception as error:  # as above; a category unseen so far may break a strange rung
            row.error = _reason(error)
    first = ladder.answers.get(ladder.chosen)
    if first is None:
        reason = str(ladder.row(ladder.chosen).error)
        raise GradusError(f"answers of {ladder.chosen} on the test part", reason, "look at the notes of the data")
    for name, second in ladder.answers.items():
        if name != ladder.chosen:
            ladder.against[name] = contest.compare(first, second)
    for measure, found in contest.others(first):
        ladder.test_scores[measure.name], ladder.units[measure.name] = found, measure.unit


def _reason(error: BaseException) -> str:
    """Return an error's first line, under its class unless the sentence is one of ours or says it itself."""
    first = next(iter(str(error).strip().splitlines()), "")
    if first and isinstance(error, GradusError | ValueError):
        return first.rstrip(".")
    return f"{type(error).__name__}: {first}".rstrip(": ")


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
