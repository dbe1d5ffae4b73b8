"""Neighbours of samples and data: fidelity, coverage, and samples that were copied from the training rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import mannwhitneyu

from gradus.core.errors import InputError
from gradus.estimators.inputs import share
from gradus.research.generative.evaluation.distances import _points

__all__ = ["Memorization", "PrecisionRecall", "covered_rows", "memorization", "nearest_rows", "precision_recall"]

Floats = NDArray[np.float64]
BLOCK_ROWS = 1024
COPIED = 0.5  # a sample nearer to a training row than half the distance that fresh rows keep


def _nearest(queries: Floats, rows: Floats, k: int, *, same: bool = False) -> tuple[Floats, NDArray[np.int64]]:
    """Return distances and numbers of the k nearest rows; with ``same``, a row is not its own neighbour."""
    known, distances, numbers = share(rows), [], []
    for start in range(0, len(queries), BLOCK_ROWS):
        part = share(queries[start : start + BLOCK_ROWS])
        found = torch.cdist(part, known, compute_mode="donot_use_mm_for_euclid_dist")
        if same:
            index = torch.arange(len(part))
            found[index, index + start] = torch.inf
        near, which = found.topk(k, largest=False)
        distances.append(near.numpy())
        numbers.append(which.numpy())
    return np.concatenate(distances), np.concatenate(numbers)


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1]; density may exceed 1.

    Attributes
    ----------
    precision : float
        Share of samples that lie within the data, as their neighbourhoods tell.
    recall : float
        Share of the data that lies within the samples.
    density : float
        How many neighbourhoods of the data a sample lies in, over the number to be expected.
    coverage : float
        Share of the data with a sample in their neighbourhood.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def covered_rows(real: ArrayLike, samples: ArrayLike, *, k: int = 5) -> NDArray[np.bool_]:
    """Return for each row whether a sample lies as near as its k-th nearest fellow; their mean is the coverage.

    Parameters
    ----------
    real, samples : array-like of shape (n, d) and (m, d)
        Points, such as `features_of` returns.
    k : int
        Neighbours, fewer than there are real rows.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    InputError
        If there are too few rows.

    Examples
    --------
    >>> covered_rows([[0.0], [1.0], [9.0]], [[0.4]], k=1).tolist()
    [True, True, False]
    >>> covered_rows([[0.0], [1.0], [9.0]], [[-0.4]], k=1).tolist()
    [True, False, False]

    References
    ----------
    Naeem et al. 2020, Reliable Fidelity and Diversity Metrics for Generative Models, eq. 5.
    """
    first, second = _points(real, samples)
    if not 1 <= k < len(first):
        raise InputError(
            "k of 1 or more and below the number of rows", f"k={k} for {len(first)} rows", "pass more rows"
        )
    covered: NDArray[np.bool_] = _nearest(first, second, 1)[0][:, 0] <= _nearest(first, first, k, same=True)[0][:, -1]
    return covered


def precision_recall(real: ArrayLike, samples: ArrayLike, *, k: int = 5) -> PrecisionRecall:
    """Return precision and recall, density and coverage of samples.

    The neighbourhood of a point is the ball that reaches to its k-th nearest neighbour on its own side. Density and
    coverage trust the data's neighbourhoods only, so that outliers among samples do no harm to them.

    Parameters
    ----------
    real, samples : array-like of shape (n, d) and (m, d)
        Points, such as `features_of` returns. Recall depends on their numbers: take as many of both.
    k : int
        Neighbours, fewer than the rows of either side.

    Raises
    ------
    InputError
        If there are too few rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = precision_recall(rng.normal(size=(400, 2)), 0.1 * rng.normal(size=(400, 2)))
    >>> found.precision > 0.95, found.recall < 0.3
    (True, True)

    References
    ----------
    Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models, eq. 1-2; Naeem et
    al. 2020, Reliable Fidelity and Diversity Metrics for Generative Models, eq. 4-5.
    """
    first, second = _points(real, samples)
    if not 1 <= k < min(len(first), len(second)):
        received = f"k={k} for {len(first)} and {len(second)} rows"
        raise InputError("k of 1 or more and below the number of rows", received, "pass more rows or set k=3")
    data_radius = _nearest(first, first, k, same=True)[0][:, -1]
    sample_radius = _nearest(second, second, k, same=True)[0][:, -1]
    inside = np.zeros(len(second), dtype=np.int64)  # neighbourhoods of the data that each sample lies in
    covered = np.zeros(len(first), dtype=bool)
    reached = np.zeros(len(first), dtype=bool)
    everything = share(second)
    for start in range(0, len(first), BLOCK_ROWS):
        part = share(first[start : start + BLOCK_ROWS])
        apart = torch.cdist(part, everything, compute_mode="donot_use_mm_for_euclid_dist").numpy()
        within = apart <= data_radius[start : start + BLOCK_ROWS, None]
        inside += within.sum(0)
        covered[start : start + BLOCK_ROWS] = within.any(1)
        reached[start : start + BLOCK_ROWS] = (apart <= sample_radius).any(1)
    precision, density = float((inside > 0).mean()), float(inside.mean() / k)
    return PrecisionRecall(precision, float(reached.mean()), density, float(covered.mean()))


def nearest_rows(samples: ArrayLike, train: ArrayLike, *, k: int = 1) -> tuple[Floats, NDArray[np.int64]]:
    """Return distance and number of the k training rows nearest to each sample, both of shape (samples, k).

    Parameters
    ----------
    samples, train : array-like of shape (n, ...) and (m, ...)
        Rows, or features of them.
    k : int
        Neighbours.

    Examples
    --------
    >>> distances, numbers = nearest_rows([[0.9]], [[0.0], [1.0], [5.0]])
    >>> round(float(distances[0, 0]), 6), int(numbers[0, 0])
    (0.1, 1)

    References
    ----------
    Goodfellow et al. 2016, §20.14 (on overfitting that samples do not show).
    """
    queries, rows = _points(samples, train)
    if not 1 <= k <= len(rows):
        raise InputError(f"k from 1 to {len(rows)}, the number of training rows", str(k), "set k=1")
    return _nearest(queries, rows, k)


class Memorization(NamedTuple):
    """How samples lie to the training rows, beside how fresh rows do.

    Attributes
    ----------
    p_value : float
        Probability of samples as near as these, were they as far from the training rows as fresh rows are.
    nearer : float
        Probability that a sample is nearer to its nearest training row than a fresh row to its own; 1/2 is as it
        should be.
    ratios : ndarray of shape (samples,)
        Distance of each sample to its nearest training row, over the median of fresh rows.
    copies : float
        Share of samples with a ratio below a half, less the share of fresh rows with one.
    rows : ndarray of shape (samples,)
        Number of each sample's nearest training row.
    flagged : bool
        Whether the p-value is below 1e-5, or a twentieth of the samples are copies.
    """

    p_value: float
    nearer: float
    ratios: Floats
    copies: float
    rows: NDArray[np.int64]
    flagged: bool


def memorization(samples: ArrayLike, train: ArrayLike, held_out: ArrayLike) -> Memorization:
    """Test whether samples are copies of training rows: whether they lie nearer to them than held-out rows do.

    Parameters
    ----------
    samples : array-like of shape (n, ...)
        Rows that a model drew.
    train : array-like of shape (m, ...)
        Rows it was fitted on.
    held_out : array-like of shape (l, ...)
        Rows of the same source that it has not seen.

    Returns
    -------
    Memorization

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> train, fresh, drawn = (rng.normal(size=(300, 5)) for _ in range(3))
    >>> memorization(drawn, train, fresh).flagged, memorization(train + 0.01, train, fresh).flagged
    (False, True)

    References
    ----------
    Meehan, Chaudhuri & Dasgupta 2020, A Non-Parametric Test to Detect Data-Copying in Generative Models, §3;
    Goodfellow et al. 2016, §20.14.
    """
    drawn, known, fresh = _points(samples, train, held_out)
    apart, rows = _nearest(drawn, known, 1)
    usual = _nearest(fresh, known, 1)[0][:, 0]
    found: Any = mannwhitneyu(apart[:, 0], usual, alternative="less")
    nearer = 1 - float(found.statistic) / (len(drawn) * len(fresh))
    unit = float(np.median(usual)) or 1.0
    ratios = apart[:, 0] / unit
    copies = float((ratios < COPIED).mean() - (usual / unit < COPIED).mean())
    flagged = bool(found.pvalue < 1e-5 or copies > 0.05)
    return Memorization(float(found.pvalue), nearer, ratios, max(0.0, copies), rows[:, 0], flagged)
