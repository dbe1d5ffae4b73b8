"""Densities of single sources, learned from the sources themselves: what independent component analysis assumes.

The log-density is a smooth curve ``g(t)`` over ``t = asinh(s)``, which is fine near the middle and coarse in the tails:
a cubic spline with a penalty on its third differences, so that what little data say is filled up by a curve without
surprises. It is fitted to counts in bins, by Newton's method; how smooth is chosen by Akaike's criterion. So sources
may be peaked, flat, skewed or have two humps, and nothing has to be said about them beforehand.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.interpolate import BSpline

from gradus.research.linear_factors.base import Array

__all__ = ["Densities", "learn_densities"]

BINS, CELLS, KNOTS = 160, 1600, 20
SMOOTHNESS = (0.3, 3.0, 30.0, 300.0, 1e5)  # the last is close to none but three parameters
MARGIN = 0.25  # of asinh(s), beyond the data on both sides


class Densities(NamedTuple):
    """Log-densities of k sources as tables over equal steps of ``t = asinh(s)``, straight in between and beyond.

    Attributes
    ----------
    low, width : ndarray of shape (k,)
        First value of t, and the step.
    log : ndarray of shape (k, cells)
        Log-density at the steps, in nats; it integrates to 1 over s.
    score : ndarray of shape (k, cells)
        ``ψ = -d log p / ds``.
    slope : ndarray of shape (k, cells)
        ``dψ / ds``.
    smoothness : ndarray of shape (k,)
        Weight of each penalty.
    """

    low: Array
    width: Array
    log: Array
    score: Array
    slope: Array
    smoothness: Array

    def at(self, sources: Array, *tables: Array) -> list[Array]:
        """Return tables at sources of shape (k, n)."""
        cells = self.log.shape[1]
        place = np.arcsinh(sources)
        place -= self.low[:, None]
        place /= self.width[:, None]
        np.clip(place, 0, cells - 1.000001, out=place)
        cell = place.astype(np.int32)
        place -= cell
        found = []
        for table in tables:
            values = np.empty_like(place)
            for k, (row, index, share) in enumerate(zip(table, cell, place, strict=True)):
                left = row[index]
                values[k] = left + share * (row[index + 1] - left)
            found.append(values)
        return found

    def log_density(self, sources: Array) -> Array:
        """Return ``log p(s)`` of sources of shape (k, n), in nats; beyond the tables it goes on along ψ."""
        (values,) = self.at(sources, self.log)
        for k in range(len(sources)):
            ends = np.sinh(self.low[k] + self.width[k] * np.array([0, self.log.shape[1] - 1]))
            below, above = np.minimum(sources[k] - ends[0], 0), np.maximum(sources[k] - ends[1], 0)
            # never up: a density has to end somewhere
            values[k] -= np.minimum(self.score[k, 0], -1e-3) * below + np.maximum(self.score[k, -1], 1e-3) * above
        return values


def learn_densities(sources: Array, smoothness: Array | None = None) -> Densities:
    """Learn the density of each source.

    Parameters
    ----------
    sources : ndarray of shape (k, n)
        Of mean about 0 and variance about 1.
    smoothness : ndarray of shape (k,), optional
        Weights of the penalties; chosen by Akaike's criterion unless given.

    Returns
    -------
    Densities
    """
    t = np.arcsinh(sources)
    low, high = t.min(1) - MARGIN, t.max(1) + MARGIN
    span = (high - low)[:, None]
    places = ((t - low[:, None]) * (BINS / span)).astype(np.int64)
    counts = np.stack([np.bincount(np.minimum(row, BINS - 1), minlength=BINS) for row in places]).astype(np.float64)
    middles = low[:, None] + span * (np.arange(BINS) + 0.5) / BINS
    exposure = sources.shape[1] * span / BINS * np.cosh(middles)  # rows times the width of each bin, in s
    coefficients, smoothness = _smoothed(counts, exposure, smoothness)
    grid = low[:, None] + span * np.linspace(0, 1, CELLS)
    wide = np.cosh(grid)
    log, first, second = (coefficients @ design.T / span**i for i, design in enumerate(_designs()[1:]))
    log = log - np.log(np.trapezoid(np.exp(log) * wide, grid, axis=1))[:, None]
    score = -first / wide
    slope = -(second - first * np.tanh(grid)) / wide**2
    return Densities(low, span[:, 0] / (CELLS - 1), log, score, slope, smoothness)


@cache
def _designs() -> tuple[Array, Array, Array, Array]:
    """Return splines over [0, 1]: at the middles of bins, and at cells with their first and second derivatives."""
    knots = np.arange(-3, KNOTS + 1) / (KNOTS - 3)
    middles = BSpline.design_matrix((np.arange(BINS) + 0.5) / BINS, knots, 3).toarray()
    each = BSpline(knots, np.eye(KNOTS), 3)
    grid = np.linspace(0, 1, CELLS)
    return middles, each(grid), each(grid, 1), each(grid, 2)


def _smoothed(counts: Array, exposure: Array, smoothness: Array | None) -> tuple[Array, Array]:
    """Return coefficients and penalties of the best of the penalized Poisson regressions, tried from the smoothest."""
    design = _designs()[0]
    third = np.diff(np.eye(KNOTS), 3, axis=0)
    penalty = third.T @ third
    weights = counts + 0.5
    start = np.log(weights / exposure)
    c = np.linalg.solve(_curvatures(weights) + 10 * penalty, ((weights * start) @ design)[..., None])[..., 0]
    k = len(counts)
    choices = [np.full(k, value) for value in reversed(SMOOTHNESS)] if smoothness is None else [smoothness]
    best, found, chosen = np.full(k, np.inf), c, choices[0]
    for choice in choices:
        c, criterion = _newton(c, counts, exposure, choice[:, None, None] * penalty)
        better = criterion < best
        best = np.where(better, criterion, best)
        found, chosen = np.where(better[:, None], c, found), np.where(better, choice, chosen)
    return found, chosen


def _curvatures(weights: Array) -> Array:
    """Return ``Bᵀ diag(w) B`` for each row of weights."""
    design = _designs()[0]
    outer = (design[:, :, None] * design[:, None, :]).reshape(BINS, -1)
    return (weights @ outer).reshape(-1, KNOTS, KNOTS)


def _newton(c: Array, counts: Array, exposure: Array, penalty: Array) -> tuple[Array, Array]:
    """Minimize ``Σ μ - counts log μ + cᵀ P c / 2`` with ``μ = exposure exp(B c)``, each row for itself.

    Returns coefficients and Akaike's criterion, with the trace of the smoother as the number of parameters.
    """
    design = _designs()[0]

    def value(at: Array) -> tuple[Array, Array]:
        eta = np.minimum(at @ design.T, 50)
        mu = exposure * np.exp(eta)
        bent = np.einsum("ki,kij,kj->k", at, penalty, at)
        return mu.sum(1) - np.einsum("kb,kb->k", counts, eta) + 0.5 * bent, mu

    lowest, mu = value(c)
    ridge = 1e-8 * np.eye(KNOTS)
    for _ in range(30):
        slope = (counts - mu) @ design - np.einsum("kij,kj->ki", penalty, c)
        step = np.linalg.solve(_curvatures(mu) + penalty + ridge, slope[..., None])[..., 0]
        length = np.ones(len(c))
        for _ in range(12):
            reached, ahead = value(c + length[:, None] * step)
            worse = reached > lowest + 1e-9
            if not worse.any():
                break
            length = np.where(worse, length / 2, length)
        length = np.where(worse, 0.0, length)
        gained = np.where(worse, 0.0, lowest - reached)
        c = c + length[:, None] * step
        lowest, mu = np.where(worse, lowest, reached), np.where(worse[:, None], mu, ahead)
        if gained.max() < 1e-4:
            break
    curvature = _curvatures(mu)
    degrees = np.trace(np.linalg.solve(curvature + penalty + ridge, curvature), axis1=1, axis2=2)
    deviance = -2 * np.einsum("kb,kb->k", counts, np.log(np.maximum(mu / exposure, 1e-300)))
    return c, deviance + 2 * degrees
