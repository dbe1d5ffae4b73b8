"""How far a test score may be from the truth: intervals for one model, or two on the same rows.

Three kinds of statistic cover the metrics. Sums over rows (log loss, squared error) are resampled and
corrected for bias and skew (BCa). Counts of (truth, label) cells (balanced accuracy, F1) are resampled as the
multinomial they are, at a cost that does not grow with the rows. Ranks (area under the ROC curve) have a
variance in closed form (DeLong). Every function takes columns for one model, or for two models side by side,
so that a difference keeps the pairing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

__all__ = ["Z", "bca", "influence_of_auc", "perfect_share", "resampled_cells", "sums_by_class"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Z = float(ndtri(0.975))
RESAMPLES = 1000
SEED = 20160110  # fixed: a report written twice shows the same interval
BLOCK = 1 << 20  # numbers in flight while resampling
ROWS_FOR_NORMAL = 20_000  # beyond it the normal limit is as good as a resample, and the resample slow


def bca(columns: Floats, combine: Callable[[Floats], Any]) -> tuple[float, float, str]:
    """95 % interval of a smooth function of column sums: bias-corrected and accelerated bootstrap.

    Parameters
    ----------
    columns : ndarray, shape (rows, k)
        What each row adds to the sums.
    combine : callable
        Maps sums of shape (..., k) to values of shape (...).

    Returns
    -------
    low, high : float
    how : str
        The method, for the reader of a report.

    References
    ----------
    Efron 1987, Better Bootstrap Confidence Intervals, §3; DiCiccio and Efron 1996, eq. 6.6 (jackknife
    acceleration).
    """
    n = len(columns)
    total = columns.sum(0)
    value = float(combine(total))
    if n < 2:
        return -np.inf, np.inf, "one row says nothing about the spread"
    left_out = combine(total - columns)  # exact jackknife: a row is one subtraction
    left_out = left_out[np.isfinite(left_out)]
    if len(left_out) < 2:
        return -np.inf, np.inf, "too few different rows say nothing about the spread"
    offsets = left_out.mean() - left_out
    spread = float(np.sum(offsets**2))
    if n > ROWS_FOR_NORMAL:
        half = Z * np.sqrt(spread * (n - 1) / n)
        return value - half, value + half, "normal, jackknife standard error"
    drawn = np.sort(_resampled_sums(columns, combine))
    drawn = drawn[np.isfinite(drawn)]  # few rows: some resamples have equal targets, and R squared needs others
    if len(drawn) < RESAMPLES / 2:
        return -np.inf, np.inf, "too few different rows say nothing about the spread"
    below = (np.sum(drawn < value) + 0.5 * np.sum(drawn == value)) / len(drawn)
    if spread == 0 or not 0 < below < 1:
        low, high = np.quantile(drawn, [0.025, 0.975])
        return float(low), float(high), f"percentile bootstrap, {RESAMPLES} resamples"
    bias = ndtri(below)
    acceleration = np.sum(offsets**3) / (6 * spread**1.5)
    ends = bias + np.array([-Z, Z])
    levels = ndtr(bias + ends / (1 - acceleration * ends))
    low, high = np.quantile(drawn, levels)
    return float(low), float(high), f"BCa bootstrap, {RESAMPLES} resamples"


def _resampled_sums(columns: Floats, combine: Callable[[Floats], Any]) -> Floats:
    n, k = columns.shape
    rng = np.random.default_rng(SEED)
    each = max(1, BLOCK // n)
    parts = []
    constant = np.ptp(columns, axis=0) == 0
    for start in range(0, RESAMPLES, each):
        rows = rng.integers(0, n, size=(min(each, RESAMPLES - start), n), dtype=np.int64)
        sums = np.empty((len(rows), k))
        for j in range(k):
            sums[:, j] = n * columns[0, j] if constant[j] else columns[:, j].take(rows).sum(1)
        parts.append(combine(sums))
    return np.concatenate(parts)


def resampled_cells(cells: Ints, weight: Floats | None) -> tuple[Ints, Floats]:
    """Resample rows that are equal whenever their cell is: one multinomial draw a resample.

    Parameters
    ----------
    cells : ndarray of int, shape (rows,)
        Code of each row.
    weight : ndarray, shape (rows,), optional
        What a row counts; None counts it once.

    Returns
    -------
    codes : ndarray of int, shape (cells,)
        The distinct codes.
    drawn : ndarray, shape (resamples, cells)
        Rows (or their weight) that fell on each cell.
    """
    codes, which, counts = np.unique(cells, return_inverse=True, return_counts=True)
    n, rng = len(cells), np.random.default_rng(SEED)
    resamples = int(np.clip(20_000_000 // max(1, len(codes)), 200, RESAMPLES))
    if weight is None and len(codes) <= n // 4:
        return codes, rng.multinomial(n, counts / n, size=resamples).astype(np.float64)
    drawn = np.empty((resamples, len(codes)))
    for b in range(resamples):
        rows = rng.integers(0, n, size=n)
        add = None if weight is None else weight[rows]
        drawn[b] = np.bincount(which[rows], weights=add, minlength=len(codes))
    return codes, drawn


def sums_by_class(drawn: Floats, groups: Ints, n_classes: int) -> Floats:
    """Sum the cells of each resample by class; a negative group is left out.

    Returns
    -------
    ndarray, shape (resamples, n_classes)
    """
    kept = groups >= 0
    shape = (len(groups), n_classes)
    chosen = sparse.csr_array((np.ones(kept.sum()), (np.flatnonzero(kept), groups[kept])), shape=shape)
    return np.asarray((chosen.T @ drawn.T).T)


def perfect_share(n: int) -> float:
    """Lowest probability that still yields ``n`` of ``n`` successes with probability 2.5 % (Clopper-Pearson).

    Examples
    --------
    >>> round(perfect_share(100), 3)
    0.964
    """
    return float(0.025 ** (1 / n)) if n else 0.0


def influence_of_auc(positive: NDArray[np.bool_], scores: Floats, weight: Floats | None) -> tuple[float, Floats]:
    """Area under the ROC curve and what each row does to it.

    Parameters
    ----------
    positive : ndarray of bool, shape (rows,)
        Rows of the class the score speaks for; at least one of either kind.
    scores : ndarray, shape (rows,)
        Larger for rows thought positive.
    weight : ndarray, shape (rows,), optional
        What a row counts.

    Returns
    -------
    area : float
    influence : ndarray, shape (rows,)
        Scaled so that the sum of squares is the variance of ``area``; differences and means of areas on the
        same rows have the differences and means of these as theirs.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson 1988; Sun and Xu 2014 (ranks instead of pairs).
    """
    weight = np.ones(len(scores)) if weight is None else weight
    above = _share_below(scores[positive], scores[~positive], weight[~positive])
    below = 1 - _share_below(scores[~positive], scores[positive], weight[positive])
    wp, wn = weight[positive], weight[~positive]
    area = float(wp @ above / wp.sum())
    influence = np.empty(len(scores))
    influence[positive] = wp / wp.sum() * (above - area) * _inflate(len(wp))
    influence[~positive] = wn / wn.sum() * (below - area) * _inflate(len(wn))
    return area, influence


def _inflate(n: int) -> float:
    return float(np.sqrt(n / (n - 1))) if n > 1 else 1.0


def _share_below(points: Floats, others: Floats, weight: Floats) -> Floats:
    """Weighted share of ``others`` below each point, ties counted half."""
    if np.ptp(weight) == 0:  # ranks are exact; running sums of weights would leave dust in the last bits
        together = rankdata(np.concatenate([points, others]))[: len(points)] - rankdata(points)
        return together / len(others)
    order = np.argsort(others, kind="stable")
    running = np.concatenate([[0.0], np.cumsum(weight[order])])
    left = running[np.searchsorted(others[order], points, side="left")]
    right = running[np.searchsorted(others[order], points, side="right")]
    return (left + right) / 2 / running[-1]
