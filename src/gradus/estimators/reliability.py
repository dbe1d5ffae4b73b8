"""Are the probabilities honest? Observed frequencies beside predicted ones, with intervals and counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from gradus.core.errors import InputError

__all__ = ["Reliability", "reliability_curve", "wilson"]


def wilson(
    successes: int | float | ArrayLike, n: int | float | ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Wilson's score interval of a proportion, elementwise.

    .. math:: \frac{\hat p + z^2/2n \pm z\sqrt{\hat p(1-\hat p)/n + z^2/4n^2}}{1 + z^2/n}

    Parameters
    ----------
    successes, n : array_like
        Counts, ``0 <= successes <= n``; where ``n`` is 0 the interval is ``(0, 1)``.
    confidence : float
        Share of repetitions in which the interval should cover the truth, in (0, 1).

    Returns
    -------
    low, high : ndarray

    Examples
    --------
    >>> low, high = wilson(95, 100)
    >>> round(float(low), 4), round(float(high), 4)
    (0.8882, 0.9785)

    References
    ----------
    Wilson 1927; Brown, Cai and DasGupta 2001, §3.1.1. Confidence intervals of a test error: Goodfellow et al.
    2016, §5.4.2.
    """
    k, total = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z = float(ndtri(0.5 + confidence / 2))
    safe = np.where(total > 0, total, 1.0)
    p = k / safe
    centre = (p + z * z / (2 * safe)) / (1 + z * z / safe)
    half = z * np.sqrt(p * (1 - p) / safe + z * z / (4 * safe * safe)) / (1 + z * z / safe)
    # The formula meets 0 and 1 exactly at no and all successes; rounding must not leave the point outside.
    low = np.where((total > 0) & (k > 0), np.clip(centre - half, 0.0, 1.0), 0.0)
    high = np.where((total > 0) & (k < total), np.clip(centre + half, 0.0, 1.0), 1.0)
    return np.asarray(low), np.asarray(high)


class Reliability(NamedTuple):
    """A reliability curve: one entry for each bin that holds at least one prediction.

    Attributes
    ----------
    predicted : ndarray
        Mean predicted probability of the bin.
    observed : ndarray
        Share of the bin's predictions that came true.
    low, high : ndarray
        95 % Wilson interval of ``observed``.
    counts : ndarray of int
        Predictions in the bin.
    error : float
        Expected calibration error: the count-weighted mean of ``|observed - predicted|``, in [0, 1].
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.int64]
    error: float


def reliability_curve(probability: ArrayLike, came_true: ArrayLike, bins: int = 10) -> Reliability:
    """Group predictions into ``bins`` of equal width and compare what was said with what happened.

    Parameters
    ----------
    probability : array_like, shape (n,)
        Probability given to an event, in [0, 1]: the positive class, or the class predicted.
    came_true : array_like, shape (n,)
        1 or True where the event happened.
    bins : int
        Number of equal intervals [0, 1] is cut into; empty ones are left out.

    Raises
    ------
    InputError
        If the two differ in length, are empty, or a probability is outside [0, 1].

    Examples
    --------
    >>> curve = reliability_curve([0.9, 0.9, 0.9, 0.9], [1, 1, 0, 1])
    >>> curve.observed.tolist(), curve.counts.tolist(), round(curve.error, 2)
    ([0.75], [4], 0.15)

    References
    ----------
    Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3.
    """
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(came_true, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise InputError(
            "two arrays of the same length, one value a prediction",
            f"shapes {p.shape} and {y.shape}",
            "pass the probability of one class, such as predict_proba(X)[:, 1]",
        )
    if not (p.min() >= -1e-6 and p.max() <= 1 + 1e-6):
        raise InputError("probabilities in [0, 1]", f"{p.min():g} to {p.max():g}", "apply a softmax or a sigmoid first")
    which = np.clip((p * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    used = counts > 0
    counts = counts[used]
    predicted = np.bincount(which, weights=p, minlength=bins)[used] / counts
    hits = np.bincount(which, weights=y, minlength=bins)[used]
    low, high = wilson(hits, counts)
    error = float(np.sum(counts * np.abs(hits / counts - predicted)) / counts.sum())
    return Reliability(predicted, hits / counts, low, high, counts, error)
