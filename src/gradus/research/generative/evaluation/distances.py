"""Distances between data and samples: of their features' moments, and of their kernel means."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from gradus.core.errors import InputError
from gradus.core.randomness import resolve_seed
from gradus.research.generative.kernels import mmd_unbiased, polynomial_kernel

__all__ = ["KernelDistance", "features_of", "frechet_between", "frechet_distance", "kernel_distance"]

Floats = NDArray[np.float64]


def features_of(estimator: Any, X: Any) -> Floats:
    """Return what the last layer of a fitted Gradus classifier or regressor reads of each row.

    Distances between pictures are measured there: pixels know little of what a picture shows. Only figures measured
    by one and the same estimator compare.

    Parameters
    ----------
    estimator : estimator
        Fitted, with a network of preparation, body and head, such as `ImageClassifier` or `MLPClassifier`.
    X : array-like
        Rows as its `predict` takes them.

    Returns
    -------
    ndarray of shape (n, features)

    Raises
    ------
    InputError
        If its network gives no features.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gradus.estimators.mlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> features_of(MLPClassifier(hidden=(16,), max_epochs=2, random_state=0).fit(X, y), X).shape
    (150, 16)
    """
    check_is_fitted(estimator)
    network = getattr(estimator, "network_", None)
    if network is None or not hasattr(network, "features"):
        mend = "pass a fitted ImageClassifier, TabularClassifier or MLPClassifier with members=1"
        raise InputError("an estimator whose network has features", type(estimator).__name__, mend)

    def read(model: Any, *inputs: Tensor) -> Tensor:
        found = model.features(*inputs)
        return found.flatten(1) if found.ndim > 1 else found.unsqueeze(1)

    return estimator._ask(estimator._encode(X), read).double().numpy()


def _points(*sides: ArrayLike) -> list[Floats]:
    """Return each side as a table of floats, rows flat; their widths agree."""
    found = [np.asarray(side, dtype=np.float64) for side in sides]
    found = [side.reshape(len(side), -1) if side.ndim > 1 else side[:, None] for side in found]
    if len({side.shape[1] for side in found}) != 1:
        received = " and ".join(str(side.shape[1]) for side in found)
        raise InputError("points of one width", received, "take both from the same features")
    if not all(np.isfinite(side).all() for side in found):
        raise InputError("finite points", "NaN or infinity", "replace or drop those rows")
    return found


def frechet_between(
    first_mean: ArrayLike, first_cov: ArrayLike, second_mean: ArrayLike, second_cov: ArrayLike
) -> float:
    """Return ``‖m - m'‖² + tr(C + C' - 2 (C^½ C' C^½)^½)``, the squared Fréchet distance of two Gaussians.

    Parameters
    ----------
    first_mean, second_mean : array-like of shape (d,)
        Means.
    first_cov, second_cov : array-like of shape (d, d)
        Covariances, symmetric and positive semidefinite; singular ones are allowed.

    Examples
    --------
    >>> frechet_between([0.0], [[1.0]], [3.0], [[4.0]])  # 3² + (2 - 1)²
    10.0

    References
    ----------
    Dowson & Landau 1982; Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, eq. 6.
    """
    m, n = (np.atleast_1d(np.asarray(mean, dtype=np.float64)) for mean in (first_mean, second_mean))
    a, b = (np.atleast_2d(np.asarray(cov, dtype=np.float64)) for cov in (first_cov, second_cov))
    if m.shape != n.shape or a.shape != b.shape or a.shape != (len(m), len(m)):
        received = f"{m.shape}, {a.shape}, {n.shape}, {b.shape}"
        raise InputError("means of shape (d,) and covariances of shape (d, d)", received, "measure both alike")
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    crossed = np.linalg.eigvalsh(root @ b @ root).clip(0)
    return float(((m - n) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * np.sqrt(crossed).sum())


def frechet_distance(real: ArrayLike, samples: ArrayLike) -> float:
    """Return the squared Fréchet distance of the Gaussians with the moments of two sets of points.

    It is biased upwards, the more the fewer rows there are: compare at one number of rows only. On features of
    an Inception network it is known as FID; on other features figures are others.

    Parameters
    ----------
    real, samples : array-like of shape (n, d) and (m, d)
        Points, such as `features_of` returns; two or more a side.

    Raises
    ------
    InputError
        If widths differ or a side has fewer than two rows.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> round(frechet_distance(X, X + [1.0, 0, 0]), 6)
    1.0

    References
    ----------
    Heusel et al. 2017; Goodfellow et al. 2016, §20.14.
    """
    first, second = _points(real, samples)
    if min(len(first), len(second)) < 2:
        raise InputError("two rows or more on each side", f"{len(first)} and {len(second)}", "pass more rows")
    moments = [(side.mean(0), np.atleast_2d(np.cov(side, rowvar=False))) for side in (first, second)]
    return max(0.0, frechet_between(*moments[0], *moments[1]))


class KernelDistance(NamedTuple):
    """An unbiased estimate, which may be below zero, and a 95 % interval around it."""

    value: float
    low: float
    high: float
    blocks: int


def kernel_distance(real: ArrayLike, samples: ArrayLike, *, blocks: int = 10, random_state: Any = 0) -> KernelDistance:
    """Return the squared maximum mean discrepancy under the kernel ``(a · b / d + 1)³``, with an interval.

    Rows are dealt into disjoint blocks, each of which gives an unbiased estimate independent of the others; their mean
    is the value, and Student's distribution the interval. Zero on average where the distributions are equal.

    Parameters
    ----------
    real, samples : array-like of shape (n, d) and (m, d)
        Points, such as `features_of` returns.
    blocks : int
        Parts, two or more; each gets two rows or more of either side.
    random_state : int or NumPy generator
        Seed of the dealing.

    Raises
    ------
    InputError
        If there are too few rows for the blocks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = kernel_distance(rng.normal(size=(500, 4)), rng.normal(size=(500, 4)))
    >>> found.low < 0 < found.high
    True

    References
    ----------
    Bińkowski et al. 2018, Demystifying MMD GANs, §4.
    """
    first, second = _points(real, samples)
    if blocks < 2 or min(len(first), len(second)) < 2 * blocks:
        received = f"blocks={blocks} of {len(first)} and {len(second)} rows"
        raise InputError("two blocks or more, of two rows or more each", received, "pass more rows or set blocks=2")
    rng = np.random.default_rng(resolve_seed(random_state))
    parts = [np.array_split(side[rng.permutation(len(side))], blocks) for side in (first, second)]
    each = np.array(
        [
            float(mmd_unbiased(torch.from_numpy(a), torch.from_numpy(b), polynomial_kernel))
            for a, b in zip(*parts, strict=True)
        ]
    )
    half = float(student.ppf(0.975, blocks - 1) * each.std(ddof=1) / np.sqrt(blocks))
    return KernelDistance(float(each.mean()), float(each.mean() - half), float(each.mean() + half), blocks)
