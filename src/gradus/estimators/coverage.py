"""Answering only where one is sure: the share of answers kept at an accuracy asked for (§11.1, §11.6)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradus.core.errors import InputError, SettingError

__all__ = ["Coverage", "CoverageCurve", "coverage_at", "coverage_curve"]

RESAMPLES = 1000
SEED = 20160110  # fixed: a report written twice shows the same interval
BLOCK = 1 << 22  # numbers in flight while resampling


class Coverage(NamedTuple):
    """How much is answered when the least confident answers are left out until the rest is right often enough.

    Attributes
    ----------
    coverage : float
        Share of examples answered; 0 where no threshold reaches the accuracy.
    low, high : float
        95 % interval of the coverage: percentiles of a bootstrap over the examples, the threshold found anew in each.
    threshold : float
        Answer where the confidence is at least this; infinite where nothing is answered.
    accuracy : float
        Of the answers kept; not a number where there are none.
    kept, n : int
        Answers kept, of how many examples.
    """

    coverage: float
    low: float
    high: float
    threshold: float
    accuracy: float
    kept: int
    n: int

    def __str__(self) -> str:
        return f"{100 * self.coverage:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


class CoverageCurve(NamedTuple):
    """Every choice there is: one entry for each distinct confidence, from the highest down.

    Attributes
    ----------
    threshold : ndarray of shape (points,)
        Answer where the confidence is at least this.
    coverage : ndarray of shape (points,)
        Share of examples then answered; the last is 1.
    accuracy : ndarray of shape (points,)
        Share of those answers that are right; the last is the accuracy without rejection.
    """

    threshold: NDArray[np.float64]
    coverage: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def coverage_curve(confidence: ArrayLike, correct: ArrayLike) -> CoverageCurve:
    """Return coverage and accuracy at every threshold on the confidence.

    Examples of equal confidence are kept or rejected together, as a threshold does.

    Parameters
    ----------
    confidence : array-like of shape (n,)
        Larger for answers thought right; any scale.
    correct : array-like of shape (n,)
        Whether each answer is right: booleans, or 0 and 1.

    Raises
    ------
    InputError
        If there are no examples, shapes differ, a confidence is not a number, or ``correct`` is not boolean.

    Examples
    --------
    >>> curve = coverage_curve([0.9, 0.8, 0.8, 0.1], [True, True, False, False])
    >>> curve.coverage.tolist(), curve.accuracy.round(3).tolist()
    ([0.25, 0.75, 1.0], [1.0, 0.667, 0.5])

    References
    ----------
    Goodfellow et al. 2016, §11.1 (coverage); El-Yaniv and Wiener 2010, On the Foundations of Noise-free Selective
    Classification.
    """
    sure, right = _checked(confidence, correct)
    order, ends = _ranked(sure)
    kept = ends + 1
    return CoverageCurve(sure[order][ends], kept / len(sure), np.cumsum(right[order])[ends] / kept)


def coverage_at(accuracy: float, confidence: ArrayLike, correct: ArrayLike) -> Coverage:
    """Return the largest share of examples that can be answered with at least ``accuracy``, and its threshold.

    The threshold is chosen on the examples given, so the accuracy on new ones differs by chance: choose it on
    validation data where a promise is to be kept.

    Parameters
    ----------
    accuracy : float
        Share of right answers asked for, above 0 and at most 1; in Goodfellow et al. 2014, 0.98.
    confidence, correct : array-like of shape (n,)
        As in `coverage_curve`.

    Raises
    ------
    SettingError
        If ``accuracy`` is no such share.
    InputError
        As `coverage_curve`.

    Examples
    --------
    >>> found = coverage_at(0.6, [0.9, 0.8, 0.7, 0.1], [True, True, False, False])
    >>> found.coverage, found.threshold, round(found.accuracy, 3), found.kept
    (0.75, 0.7, 0.667, 3)
    >>> coverage_at(0.9, [0.9, 0.1], [False, True]).coverage
    0.0

    References
    ----------
    Goodfellow et al. 2016, §11.1, §11.6; Goodfellow et al. 2014, Multi-digit Number Recognition from Street View
    Imagery using Deep Convolutional Neural Networks, §4.
    """
    if not 0 < accuracy <= 1:
        raise SettingError("an accuracy above 0 and at most 1", repr(accuracy), "ask for example for 0.98")
    sure, right = _checked(confidence, correct)
    order, ends = _ranked(sure)
    good = right[order].astype(np.int64)
    kept = int(_most_kept(np.ones((1, len(sure)), dtype=np.int64), good, ends, accuracy)[0])
    rng, shares = np.random.default_rng(SEED), []
    resamples = int(np.clip(20_000_000 // len(sure), 200, RESAMPLES))
    each = max(1, BLOCK // len(sure))
    for start in range(0, resamples, each):
        drawn = rng.multinomial(len(sure), np.full(len(sure), 1 / len(sure)), size=min(each, resamples - start))
        shares.append(_most_kept(drawn, good, ends, accuracy) / len(sure))
    low, high = np.quantile(np.concatenate(shares), [0.025, 0.975])
    threshold = float(sure[order][kept - 1]) if kept else float("inf")
    reached = float(good[:kept].mean()) if kept else float("nan")
    return Coverage(kept / len(sure), float(low), float(high), threshold, reached, kept, len(sure))


def _checked(confidence: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct)
    if sure.ndim != 1 or sure.shape != right.shape or not len(sure):
        received = f"shapes {sure.shape} and {right.shape}"
        raise InputError("confidence and correct of one shape (n,), n of 1 or more", received, "pass one of each a row")
    if np.isnan(sure).any():
        raise InputError("confidences that are numbers", "NaN", "drop those rows, or count them as least confident")
    if not np.isin(right, (0, 1)).all():
        raise InputError("correct as booleans", f"{right.dtype} of other values", "pass predicted == true")
    return sure, right.astype(bool)


def _ranked(sure: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order from sure to unsure, and in it the last place of each distinct confidence."""
    order = np.argsort(-sure, kind="stable")
    ranked = sure[order]
    return order, np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(sure) - 1)


def _most_kept(
    drawn: NDArray[np.int64], right: NDArray[np.int64], ends: NDArray[np.int64], accuracy: float
) -> NDArray[np.int64]:
    """Return how many can be kept in each of several samples, of which row i holds ``drawn[i]`` of each example."""
    kept = np.cumsum(drawn, axis=1)[:, ends]
    hits = np.cumsum(drawn * right, axis=1)[:, ends]
    # A share such as 0.98 has no exact double: of 50 answers 49 must count as enough.
    enough = hits >= accuracy * kept * (1 - 1e-12)
    return np.where(enough, kept, 0).max(1)
