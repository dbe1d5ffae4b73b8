"""The questions of generalization asked of a run: on its own rows, with its own network, within a budget of time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier

from gradus.core.errors import DataError, GradusError
from gradus.estimators.persistence import load
from gradus.practice.doctor.generalization import Fit, Generalization
from gradus.practice.doctor.label_noise import LabelNoise, label_noise
from gradus.practice.doctor.seeds import OverSeeds, over_seeds
from gradus.practice.learning_curve import LearningCurve, learning_curve
from gradus.practice.metrics import predict, score
from gradus.runs.job import Prepared
from gradus.runs.opened_rows import OpenedRows
from gradus.runs.record import RunFolder, RunRecord

__all__ = ["generalized"]

SEEDS = (3, 5)  # fewest that tell a spread, and enough
SIZES = (4, 8)
REPEATS = (2, 8)
JUDGED = 2000  # rows learned from that the training score is taken on
NOISE_ROWS, NOISE_COLUMNS = 5000, 1000


def generalized(
    folder: RunFolder,
    record: RunRecord,
    started: Prepared,
    build: Callable[..., dict[str, Any]],
    *,
    max_time: float,
    goal: float | None = None,
) -> Generalization:
    """Answer what can be answered of a run in some time.

    Parameters
    ----------
    folder, record, started
        The run, its record, and its data and settings read anew.
    build : callable
        What the doctor examines.
    max_time : float
        Most time to take, in seconds; what would take longer is left out, and said.
    goal : float, optional
        What the run's metric should reach; the best baseline's score by default.

    Raises
    ------
    DataError
        If the run did not learn a target of rows, or is not finished.
    """
    opened = started.opened
    if not isinstance(opened, OpenedRows) or opened.streams:
        received = "one that streams its rows" if opened.streams else f"one that learned {opened.task}"
        raise DataError("a run on rows with a target, held in memory", received, "leave out --generalization")
    network = next((rung for rung in record.ladder if rung.kind == "network"), None)
    if record.status != "finished" or network is None or not folder.model.is_dir():
        raise DataError("a finished run with its network", f"one that is {record.status}", "finish it first")
    begin, found = time.perf_counter(), Generalization()

    def left() -> float:
        return max(0.0, max_time - (time.perf_counter() - begin))

    found.fit = _fit(folder, record, opened, goal)
    once = network.fit_seconds or math.inf
    found.curve = _curve(record, started, opened, 0.6 * left(), once, found.left_out)
    found.seeds = _seeds(build, left() - 0.2 * max_time, once, found.left_out)
    found.noise = _noise(started, opened, found.left_out) if left() > 0 else None
    return found


def _fit(folder: RunFolder, record: RunRecord, opened: OpenedRows, goal: float | None) -> Fit | None:
    """Compare the network's scores on rows it learned from and on others with the bar."""
    contest = opened.contest()
    metric = contest.metric
    model = load(folder.model)
    rows = np.random.default_rng(0).permutation(len(contest.train.y))[:JUDGED]
    take = contest.train.X.iloc if hasattr(contest.train.X, "iloc") else _Taken(contest.train.X)
    train = score(metric, contest.train.y[rows], predict(model, take[rows]))
    valid = score(metric, contest.valid.y, predict(model, contest.valid.X), contest.valid.weight)
    below = [(r.valid.value, r.name) for r in record.ladder if r.kind != "network" and r.valid is not None]
    if goal is None and not below:
        return None
    best = (max if metric.higher_is_better else min)(below) if below else (math.nan, "")
    bar, name = best if goal is None else (goal, "goal")
    words = (metric.name.replace("_", " "), metric.higher_is_better)
    return Fit(*words, train.value, valid.value, valid.low, valid.high, bar, name)


class _Taken:
    """Rows of a sequence by their places."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, places: Any) -> Any:
        return self.rows[places] if isinstance(self.rows, np.ndarray) else [self.rows[k] for k in places]


def _curve(
    record: RunRecord, started: Prepared, opened: OpenedRows, seconds: float, once: float, left_out: list[str]
) -> LearningCurve | None:
    """Grow the network's training rows, with as many sizes and repeats as there is time for."""
    sizes, repeats = _affordable(seconds, once)
    if repeats == 0:
        left_out.append(f"what more rows would bring (one training takes {once:.0f} s, there were {seconds:.0f} s)")
        return None
    estimator = clone(started.estimator)
    best = max((k for k, row in enumerate(record.history) if "valid_loss" in row), default=estimator.max_epochs - 1,
               key=lambda k: -record.history[k]["valid_loss"])  # fmt: skip
    # as many passes as were best for all the rows: a subset has no rows to spare for stopping by
    estimator.set_params(max_epochs=best + 1, early_stopping=False)
    contest = opened.contest()
    X, y = contest.train.X, contest.train.y
    try:
        return learning_curve(estimator, X, y, sizes=sizes, repeats=repeats)
    except (GradusError, ValueError) as error:  # too few rows, or too few of a class
        left_out.append(f"what more rows would bring ({str(error).splitlines()[0]})")
        return None


def _affordable(seconds: float, once: float) -> tuple[int, int]:
    """Return how many sizes and repeats fit in some time; no repeats where the fewest do not.

    Sizes are even by ratio from a sixteenth of three quarters of the rows to all of these.

    Examples
    --------
    >>> _affordable(1e4, 1.0), _affordable(10, 10.0)
    ((8, 8), (4, 0))
    """
    for sizes in range(SIZES[1], SIZES[0] - 1, -1):
        whole = once * 0.75 * float(np.geomspace(1 / 16, 1, sizes).sum())
        for repeats in range(REPEATS[1], REPEATS[0] - 1, -1):
            if whole * repeats <= seconds and (repeats >= 4 or sizes == SIZES[0]):
                return sizes, repeats
    return SIZES[0], 0


def _seeds(build: Callable[..., dict[str, Any]], seconds: float, once: float, left_out: list[str]) -> OverSeeds | None:
    """Train from several seeds, as many as there is time for."""
    count = min(SEEDS[1], int(seconds / max(once, 1e-9)))
    if count < SEEDS[0]:
        left_out.append(f"the spread over seeds (one training takes {once:.0f} s, there were {max(seconds, 0):.0f} s)")
        return None
    return over_seeds(build, range(count), max_time=seconds)


def _noise(started: Prepared, opened: OpenedRows, left_out: list[str]) -> LabelNoise | None:
    """Look for targets that contradict what models say that never saw them."""
    contest = opened.contest()
    estimator = clone(started.estimator)
    if not is_classifier(estimator) or np.asarray(contest.train.y).ndim > 1:
        return None  # of numbers nobody can say which are wrong
    estimator.seed_ = 0
    rows = estimator._encode(contest.train.X, contest.train.y, reset=True)
    inputs = [t.reshape(len(t), -1).numpy() for name, t in rows.items() if name not in ("targets", "weights")]
    table = np.concatenate(inputs, axis=1)[:NOISE_ROWS]
    if opened.app.kind == "texts" or table.shape[1] > NOISE_COLUMNS:
        left_out.append("wrong targets (its inputs are no short rows of numbers)")
        return None
    try:
        return label_noise(np.nan_to_num(table), np.asarray(contest.train.y)[:NOISE_ROWS])
    except GradusError as error:
        left_out.append(f"wrong targets ({error})")
        return None
