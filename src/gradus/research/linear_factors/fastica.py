"""FastICA: fixed points of ``E[x g(wᵀx)] - E[g'(wᵀx)] w`` on whitened rows, all at once or one after another."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from gradus.research.linear_factors.base import Array

__all__ = ["Contrast", "FixedPoint", "deflation", "symmetric"]

Contrast = Literal["logcosh", "exp", "cube"]
BLOCK = 1024  # rows at once: with their sources they stay in the cache
SINGLE = 1e-6  # turns smaller than this are rounding, in single precision
SAMPLE = 10  # a share of one in ten finds the neighbourhood
PASSES = 30  # over the sample at most: of too few rows the fixed point may be none
LEAST = 50  # rows of the sample, times the number of components


class FixedPoint(NamedTuple):
    """Unmixing matrix of whitened rows, iterations over all rows, and whether it settled."""

    unmixing: Array
    steps: int
    settled: bool


def nonlinearity(sources: Array, contrast: Contrast) -> tuple[Array, Array]:
    """Return ``g(s)`` of sources of shape (k, n), which are overwritten, and the sums of ``g'(s)`` over each row.

    "logcosh": ``g = tanh s``; "exp": ``s exp(-s² / 2)``; "cube": ``s³``.
    """
    n = sources.shape[1]
    if contrast == "logcosh":
        np.tanh(sources, out=sources)
        return sources, n - np.einsum("ij,ij->i", sources, sources)
    squares = np.square(sources)
    if contrast == "cube":
        slopes = 3 * squares.sum(1)
        sources *= squares
        return sources, slopes
    bell = np.exp(-0.5 * squares)
    squares *= bell
    sources *= bell
    return sources, bell.sum(1) - squares.sum(1)


def _update(white: Array, unmixing: Array, contrast: Contrast) -> Array:
    """Return ``E[g(W x) xᵀ] - diag(E[g'(W x)]) W``, block by block."""
    n = white.shape[1]
    total, slopes = np.zeros_like(unmixing), np.zeros(len(unmixing))
    rounded = unmixing.astype(white.dtype)
    for start in range(0, n, BLOCK):
        part = white[:, start : start + BLOCK]
        g, slope = nonlinearity(rounded @ part, contrast)
        total += g @ part.T
        slopes += slope
    return (total - slopes[:, None] * unmixing) / n


def orthogonal(matrix: Array) -> Array:
    """Return ``(W Wᵀ)^{-1/2} W``, the orthogonal matrix nearest to ``W``."""
    values, vectors = np.linalg.eigh(matrix @ matrix.T)
    return (vectors / np.sqrt(np.maximum(values, 1e-300))) @ (vectors.T @ matrix)


def symmetric(white: Array, start: Array, *, contrast: Contrast, max_iter: int, tol: float) -> FixedPoint:
    """Find all components at once.

    Of many rows a tenth is iterated on first: its fixed point is near that of all. Passes are in single precision,
    which takes half the time, until components settle; then in double until they settle again.

    Parameters
    ----------
    white : ndarray of shape (k, n)
        Whitened rows, one a column, in no order that matters.
    start : ndarray of shape (k, k)
        Where to begin.
    contrast : {"logcosh", "exp", "cube"}
        Which ``g``.
    max_iter : int
        Most iterations over all rows.
    tol : float
        Ends where every component turns by less: ``max |1 - |w_newᵀ w|| < tol``.

    Returns
    -------
    FixedPoint

    References
    ----------
    Hyvärinen 1999, Fast and robust fixed-point algorithms for independent component analysis.
    """
    k, n = white.shape
    unmixing = orthogonal(start)
    single = white.astype(np.float32)
    if n // SAMPLE >= LEAST * k:
        # every tenth row, from anywhere: of rows in order of time or class, the first tenth would be a poor sample
        part = np.ascontiguousarray(single[:, ::SAMPLE])
        unmixing = _iterate(part, unmixing, contrast, min(max_iter, PASSES), max(tol, 1e-2)).unmixing
    near = _iterate(single, unmixing, contrast, max_iter - 1, max(tol, SINGLE))
    found = _iterate(white, near.unmixing, contrast, max_iter - near.steps, tol)
    return found._replace(steps=near.steps + found.steps)


def _iterate(white: Array, unmixing: Array, contrast: Contrast, max_iter: int, tol: float) -> FixedPoint:
    for step in range(1, max_iter + 1):
        ahead = orthogonal(_update(white, unmixing, contrast))
        turned = float(np.abs(np.abs(np.einsum("ij,ij->i", ahead, unmixing)) - 1).max())
        unmixing = ahead
        if turned < tol:
            return FixedPoint(unmixing, step, True)
    return FixedPoint(unmixing, max_iter, False)


def deflation(white: Array, start: Array, *, contrast: Contrast, max_iter: int, tol: float) -> FixedPoint:
    """Find components one after another, each orthogonal to those before; parameters as in `symmetric`."""
    k = len(white)
    found = np.zeros((k, k))
    most, settled = 0, True
    for i in range(k):
        w = _apart(start[i], found[:i])
        for step in range(1, max_iter + 1):
            ahead = _apart(_update(white, w[None], contrast)[0], found[:i])
            turned = abs(abs(float(ahead @ w)) - 1)
            w = ahead
            most = max(most, step)
            if turned < tol:
                break
        else:
            settled = False
        found[i] = w
    return FixedPoint(found, most, settled)


def _apart(w: Array, others: Array) -> Array:
    """Return ``w`` less its parts along orthonormal ``others``, of length 1."""
    w = w - others.T @ (others @ w)
    return w / np.linalg.norm(w)
