"""Principal directions of rows, four ways, and which of them is the fastest right one."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh

from gradus.core.randomness import generator
from gradus.foundations.linear_algebra import randomized_svd
from gradus.research.linear_factors.base import Array

__all__ = ["Directions", "Solver", "choose", "directions"]

Solver = Literal["exact", "covariance", "mixed", "randomized"]

BLOCK = 1024  # rows of single precision that fit the cache together with the covariance of a thousand columns
# Below this share of the largest variance, single precision has lost a direction among its rounding.
RESOLVED = 1e-4
WIDEST = 4000  # columns (or rows) whose covariance is worth an eigendecomposition


class Directions(NamedTuple):
    """Mean, directions (one a row, longest first), variance along each, and the variance in all."""

    mean: Array
    components: Array
    variances: Array
    total: float


def choose(n: int, d: int, k: int) -> Solver:
    """Return the fastest solver that finds ``k`` directions of an (n, d) table to full use.

    A few directions of many rows: the covariance, whose products single precision takes in half the time, and double
    precision refines. Most or all directions of many rows: the covariance in double. A small table: the exact
    decomposition, which alone keeps the smallest variances. A table large both ways: random sketches.
    """
    if min(n, d) > WIDEST:
        return "randomized" if k < 0.2 * min(n, d) else "exact"
    if n >= 10 * d and k <= 0.25 * d and n * d >= 1 << 20:
        return "mixed"
    return "covariance" if n >= 4 * d and d > 50 else "exact"


def directions(rows: NDArray, k: int, solver: Solver, *, seed: int, oversampling: int, power: int) -> Directions:
    """Return the first ``k`` principal directions of rows without gaps; variances are sums over n - 1."""
    mean = rows.mean(0, dtype=np.float64)
    if solver == "mixed":
        return _mixed(rows, mean, k)
    if solver == "covariance":
        return _covariance(rows, mean, k)
    centred = rows - mean
    total = float(np.einsum("ij,ij->", centred, centred)) / (len(rows) - 1)
    if solver == "exact":
        _, values, right = np.linalg.svd(centred, full_matrices=False)
        return Directions(mean, right[:k], values[:k] ** 2 / (len(rows) - 1), total)
    found = randomized_svd(
        torch.from_numpy(centred), k, generator=generator(seed), oversampling=oversampling, power_iterations=power
    )
    return Directions(mean, found.right.numpy().T, found.values.numpy() ** 2 / (len(rows) - 1), total)


def _covariance(rows: NDArray, mean: Array, k: int) -> Directions:
    """Decompose the covariance, or the products of rows with each other where those are fewer."""
    n, d = rows.shape
    if n < d:
        centred = rows - mean
        values, left = _largest(centred @ centred.T / (n - 1), k)
        components = (left.T @ centred) / np.sqrt(np.maximum(values, np.finfo(np.float64).tiny) * (n - 1))[:, None]
        # directions of no variance come out as noise of any length: make them orthonormal as the others are
        full, _ = np.linalg.qr(components.T)
        signs = np.sign(np.einsum("ij,ji->i", components, full))
        total = float(np.einsum("ij,ij->", centred, centred)) / (n - 1)
        return Directions(mean, full.T * np.where(signs == 0, 1, signs)[:, None], values, total)
    covariance = np.zeros((d, d))
    for start in range(0, n, 4 * BLOCK):
        block = rows[start : start + 4 * BLOCK] - mean
        covariance += block.T @ block
    covariance /= n - 1
    values, vectors = _largest(covariance, k)
    return Directions(mean, vectors.T, values, float(np.trace(covariance)))


def _mixed(rows: NDArray, mean: Array, k: int) -> Directions:
    """Find the subspace from sums of products in single precision, then the directions within it from sums in double.

    Sums over many rows of a block each round like single precision; sums of the rows' few factors in double do not,
    and the rounding of single factors averages out: variances come out right to a few 1e-7, and the error of the
    plane, which is off by the square of its directions' error, to 1e-10.
    """
    n, d = rows.shape
    single = mean.astype(np.float32)
    # A mean far from zero would take the digits of what varies about it: then it is taken off in double.
    spread = float(np.abs(rows[:BLOCK] - mean).max())
    plain = bool(np.abs(mean).max() <= 10 * spread)
    store = np.empty((BLOCK, d), dtype=np.float32)

    def block(start: int) -> NDArray[np.float32]:
        part = rows[start : start + BLOCK]
        centred = store[: len(part)]
        if plain:
            centred[...] = part
            centred -= single
        else:
            np.subtract(part, mean, out=centred, casting="same_kind")
        return centred

    covariance = np.zeros((d, d))
    for start in range(0, n, BLOCK):
        part = block(start)
        covariance += part.T @ part
    covariance /= n - 1
    values, vectors = _largest(covariance, min(k + 10, d))
    if values[-1] < RESOLVED * values[0]:
        return _covariance(rows, mean, k)
    basis = vectors.astype(np.float32)
    within = np.zeros((basis.shape[1], basis.shape[1]))
    for start in range(0, n, BLOCK):
        factors = (block(start) @ basis).astype(np.float64)
        within += factors.T @ factors
    # Rounding the basis left it orthonormal to 1e-7 only: its own products make up for that.
    rounded = basis.astype(np.float64)
    values, turned = eigh(within / (n - 1), rounded.T @ rounded, check_finite=False)
    components = (rounded @ turned[:, ::-1][:, :k]).T
    return Directions(mean, components, values[::-1][:k], float(np.trace(covariance)))


def _largest(symmetric: Array, k: int) -> tuple[Array, Array]:
    """Return the ``k`` largest eigenvalues, falling, and their vectors as columns."""
    d = len(symmetric)
    subset = (d - k, d - 1) if k < 0.4 * d else None
    values, vectors = eigh(symmetric, subset_by_index=subset, check_finite=False)
    return np.maximum(values[::-1][:k], 0), vectors[:, ::-1][:, :k]
