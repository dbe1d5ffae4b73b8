"""Entropy, divergence and mutual information from samples alone, by distances to nearest neighbours (§3.13).

Where neighbours are near, the density is high: a ball that holds k of N samples holds about k/N of the probability, and
the digamma function says what its logarithm is on average. No density is fitted and nothing is trained; the error
falls slowly beyond some ten dimensions. Distances are exact, by k-d trees; everything is in double precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma
from torch import Tensor

from gradus.core.errors import InputError, SettingError

__all__ = ["knn_entropy", "knn_kl", "knn_mutual_information", "knn_mutual_information_discrete"]

Floats = NDArray[np.float64]
TIES = "rows that repeat are not of a density: add noise below what was measured, or use tables of counts"


def _rows(values: ArrayLike | Tensor, name: str) -> Floats:
    """Check samples and return them as (n, features)."""
    found = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else np.asarray(values, np.float64)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or found.shape[1] == 0:
        raise InputError(f"{name} of shape (n,) or (n, features)", str(found.shape), "reshape it to one row a sample")
    if not np.isfinite(found).all():
        raise InputError(f"finite numbers in {name}", "infinite or missing ones", "replace or drop them")
    return found


def _check_k(k: int, most: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise SettingError("k, an integer of 1 or more", repr(k), "set for example k=3")
    if most < k:
        raise InputError(f"more than k={k} samples", str(most + 1), "pass more samples, or lower k")


def _scaled(rows: Floats) -> Floats:
    """Divide columns by their standard deviations, which no mutual information depends on."""
    deviation = rows.std(0)
    return (rows - rows.mean(0)) / np.where(deviation > 0, deviation, 1.0)


def _positive(distances: Floats) -> Floats:
    if not (distances > 0).all():
        repeats = int((distances <= 0).sum())
        raise InputError("samples of a continuous distribution", f"{repeats} with k copies of themselves", TIES)
    return distances


def _within(rows: Floats, radii: Floats) -> NDArray[np.int64]:
    """Count the rows nearer than a radius to each row, in the maximum norm, itself included."""
    if rows.shape[1] > 1:
        return cKDTree(rows).query_ball_point(rows, np.nextafter(radii, 0), p=np.inf, return_length=True)
    ordered = np.sort(rows[:, 0])
    above = _reach(ordered, rows[:, 0], radii)
    below = _reach(-ordered[::-1], -rows[:, 0], radii)
    return above + below - len(rows)


def _reach(ordered: Floats, values: Floats, radii: Floats) -> NDArray[np.int64]:
    """Return how many of the ordered numbers lie below ``value + radius``.

    Many a radius is the distance of just such a number, which must not count: sums round otherwise than differences
    do, so the differences decide.
    """
    padded = np.concatenate([[-np.inf], ordered, [np.inf]])
    end = np.searchsorted(ordered, values + radii)
    while (more := padded[end + 1] - values < radii).any():
        end = end + more
    while (less := padded[end] - values >= radii).any():
        end = end - less
    return end


def knn_entropy(x: ArrayLike | Tensor, *, k: int = 3) -> float:
    r"""Estimate the differential entropy of samples by Kozachenko and Leonenko's formula, in nats.

    .. math:: \hat H = \psi(N) - \psi(k) + \log c_d + \frac{d}{N} \sum_i \log r_i

    with :math:`r_i` the distance of a sample to its k-th neighbour and :math:`c_d` the volume of the unit ball.

    Parameters
    ----------
    x : array-like or Tensor of shape (n,) or (n, features)
        Independent samples of a density. Entropy depends on units: those of the columns.
    k : int
        Neighbours, 1 or more: a larger one lowers the variance and raises the bias.

    Returns
    -------
    float
        Nats.

    Raises
    ------
    InputError
        If there are not more than k samples, or rows repeat.
    SettingError
        If k is none.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=4000)
    >>> round(knn_entropy(x), 1), round(0.5 * math.log(2 * math.pi * math.e), 1)
    (1.4, 1.4)

    References
    ----------
    Kozachenko & Leonenko 1987; Kraskov, Stögbauer & Grassberger 2004, Estimating Mutual Information, eq. 20.
    """
    rows = _rows(x, "x")
    n, d = rows.shape
    _check_k(k, n - 1)
    radii = _positive(cKDTree(rows).query(rows, [k + 1])[0][:, 0])
    log_ball = 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d + 1)
    return float(digamma(n) - digamma(k) + log_ball + d * np.log(radii).mean())


def knn_kl(x: ArrayLike | Tensor, y: ArrayLike | Tensor, *, k: int = 3) -> float:
    r"""Estimate the divergence :math:`D(p \| q)` from samples of each, in nats.

    .. math:: \hat D = \frac{d}{n} \sum_i \log \frac{\nu_i}{\rho_i} + \log \frac{m}{n - 1}

    with :math:`\rho_i` the distance of a sample of p to its k-th neighbour among the others, :math:`\nu_i` to the k-th
    among those of q.

    Parameters
    ----------
    x : array-like or Tensor of shape (n,) or (n, features)
        Samples of p.
    y : array-like or Tensor of shape (m,) or (m, features)
        Samples of q.
    k : int
        Neighbours, 1 or more.

    Returns
    -------
    float
        Nats; below zero now and then where p and q are near.

    Raises
    ------
    InputError
        If there are too few samples, they differ in width, or rows repeat.
    SettingError
        If k is none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(knn_kl(rng.normal(size=4000), rng.normal(1.0, 1.0, size=4000)), 1)  # 0.5
    0.5

    References
    ----------
    Wang, Kulkarni & Verdú 2009, Divergence Estimation for Multidimensional Densities via k-Nearest-Neighbor Distances,
    eq. 5.
    """
    first, second = _rows(x, "x"), _rows(y, "y")
    if first.shape[1] != second.shape[1]:
        raise InputError(f"y of {first.shape[1]} features, as x", str(second.shape[1]), "pass samples of one space")
    n, d = first.shape
    _check_k(k, min(n - 1, len(second)))
    own = _positive(cKDTree(first).query(first, [k + 1])[0][:, 0])
    other = _positive(cKDTree(second).query(first, [k])[0][:, 0])
    return float(d * np.log(other / own).mean() + math.log(len(second) / (n - 1)))


def knn_mutual_information(x: ArrayLike | Tensor, y: ArrayLike | Tensor, *, k: int = 3) -> float:
    r"""Estimate the mutual information of continuous x and y from joint samples, in nats.

    .. math:: \hat I = \psi(k) + \psi(N) - \frac1N \sum_i [\psi(n_x(i) + 1) + \psi(n_y(i) + 1)]

    with :math:`n_x(i)` the samples that lie nearer in x alone than the k-th neighbour lies in both. The errors of the
    three entropies cancel for the most part: of independent x and y the estimate is near zero at any n. Where
    more than k samples lie as near as the k-th, since values repeat, all are counted, as of discrete ones.

    Parameters
    ----------
    x, y : array-like or Tensor of shape (n,) or (n, features)
        Joint samples. Columns are brought to one standard deviation, which changes no information.
    k : int
        Neighbours, 1 or more.

    Returns
    -------
    float
        Nats; below zero now and then where x and y are nearly independent.

    Raises
    ------
    InputError
        If x and y differ in length, or there are not more than k samples.
    SettingError
        If k is none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=4000)
    >>> abs(knn_mutual_information(x, x + rng.normal(size=4000)) - 0.5 * math.log(2)) < 0.05
    True

    References
    ----------
    Kraskov, Stögbauer & Grassberger 2004, Estimating Mutual Information, eq. 8 (their first algorithm); Gao et
    al. 2017, Estimating Mutual Information for Discrete-Continuous Mixtures, algorithm 1 (copies).
    """
    first, second = _rows(x, "x"), _rows(y, "y")
    n = len(first)
    if len(second) != n:
        raise InputError(f"y with {n} rows, as many as x", str(len(second)), "pass pairs")
    _check_k(k, n - 1)
    first, second = _scaled(first), _scaled(second)
    joint = np.hstack([first, second])
    radii = cKDTree(joint).query(joint, [k + 1], p=np.inf)[0][:, 0]
    inside = _within(joint, np.nextafter(radii, np.inf))  # a row counts itself, here and below
    tied = inside > k + 1
    reach = np.where(tied, np.nextafter(radii, np.inf), radii)
    alone = [_within(part, reach) for part in (first, second)]
    known = np.where(tied, inside, k)
    counts = digamma(alone[0]) + digamma(alone[1])  # of n_x + 1
    return float(digamma(n) + (digamma(known) - counts).mean())


def knn_mutual_information_discrete(x: ArrayLike | Tensor, labels: Any, *, k: int = 3) -> float:
    r"""Estimate the mutual information of continuous x and discrete labels from joint samples, in nats.

    .. math:: \hat I = \psi(N) + \psi(k) - \frac1N \sum_i [\psi(N_{y_i}) + \psi(m_i)]

    with :math:`N_{y_i}` the samples of the same label, and :math:`m_i` those of any label that lie within the distance
    of the k-th neighbour of the same label. Of a label with k samples or fewer, all the others of it are neighbours;
    one with a single sample says nothing and is left out. Where more than k lie as near as the k-th, since
    values repeat, all are counted.

    Parameters
    ----------
    x : array-like or Tensor of shape (n,) or (n, features)
        Samples of a density for each label.
    labels : array-like or Tensor of shape (n,)
        Anything that can be told apart.
    k : int
        Neighbours, 1 or more.

    Returns
    -------
    float
        Nats; below zero now and then where x says nothing of the label.

    Raises
    ------
    InputError
        If x and labels differ in length, or no label has two samples.
    SettingError
        If k is none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 4000)
    >>> round(knn_mutual_information_discrete(9.0 * labels + rng.normal(size=4000), labels), 2)  # log 2
    0.69

    References
    ----------
    Ross 2014, Mutual Information between Discrete and Continuous Data Sets, eq. 2.
    """
    rows, kinds = _rows(x, "x"), np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if kinds.shape != (len(rows),):
        raise InputError(f"labels of shape ({len(rows)},)", str(kinds.shape), "pass one label for each row of x")
    _, numbers, sizes = np.unique(kinds, return_inverse=True, return_counts=True)
    kept = sizes[numbers] > 1
    if not kept.any():
        raise InputError("a label with two samples or more", "none", "use knn_mutual_information for numbers")
    rows, numbers = _scaled(rows[kept]), numbers[kept]
    _check_k(k, len(rows))
    radii, used = np.empty(len(rows)), np.empty(len(rows), dtype=np.int64)
    for kind in np.unique(numbers):
        members = numbers == kind
        own, near = rows[members], min(k, int(members.sum()) - 1)
        # The ball is closed, unlike that of two continuous ones: the neighbour at the radius is one of m.
        radii[members] = np.nextafter(cKDTree(own).query(own, [near + 1], p=np.inf)[0][:, 0], np.inf)
        used[members] = _within(own, radii[members]) - 1
    terms = digamma(used) - digamma(sizes[numbers]) - digamma(_within(rows, radii) - 1)
    return float(digamma(len(rows)) + terms.mean())
