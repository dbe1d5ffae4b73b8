"""The Gaussian of few factors and independent noise: densities, posteriors, draws; rows may have gaps (§13.1)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradus.research.linear_factors.base import Array
from gradus.research.linear_factors.moments import Patterns, patterns

__all__ = ["LowRankGaussian", "conditionals", "draw", "log_density", "posterior_means"]

LOG_TAU = float(np.log(2 * np.pi))
CHUNK = 1 << 22  # numbers at once in what grows with patterns times factors squared


class LowRankGaussian(NamedTuple):
    """``x = μ + W h + ε``, ``h ~ N(0, I)``, ``ε ~ N(0, diag ψ)``; hence ``x ~ N(μ, W Wᵀ + diag ψ)``.

    Attributes
    ----------
    mean : ndarray of shape (features,)
        The book's **b**.
    loadings : ndarray of shape (features, k)
        The book's **W**.
    noise : ndarray of shape (features,)
        Variances ψ, above 0; the book's σ².
    """

    mean: Array
    loadings: Array
    noise: Array

    def covariance(self) -> Array:
        """Return ``W Wᵀ + diag ψ``."""
        return self.loadings @ self.loadings.T + np.diag(self.noise)


def conditionals(model: LowRankGaussian, observed: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return, for each pattern, the covariance of the factors given what it observes, and its log-determinant.

    ``Cov[h | x_o] = (I + W_oᵀ ψ_o⁻¹ W_o)⁻¹``: k x k inverses in place of those of features x features (Woodbury).

    Parameters
    ----------
    model : LowRankGaussian
    observed : ndarray of bool, shape (patterns, features)
        True where a value is observed.

    Returns
    -------
    tuple of ndarray of shape (patterns, k, k) and (patterns,)
    """
    d, k = model.loadings.shape
    outer = (model.loadings[:, :, None] * (model.loadings / model.noise[:, None])[:, None, :]).reshape(d, k * k)
    precision = (observed.astype(np.float64) @ outer).reshape(-1, k, k) + np.eye(k)
    root = np.linalg.cholesky(precision)
    return np.linalg.inv(precision), -2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1)


def chunks(data: Patterns, width: int) -> list[slice]:
    """Return slices of patterns whose work arrays of ``width`` numbers a row, or a pattern, stay small."""
    most, found, begin = max(1, CHUNK // width), [], 0
    count = len(data.observed)
    while begin < count:
        # as many patterns as fit, one at least: a pattern with many rows is a chunk of its own
        end = int(np.searchsorted(data.starts, data.starts[begin] + most, side="right")) - 1
        end = min(max(end, begin + 1), begin + most, count)
        found.append(slice(begin, end))
        begin = end
    return found


def posterior(
    model: LowRankGaussian, data: Patterns, part: slice
) -> tuple[Array, Array, Array, Array, NDArray[np.intp]]:
    """Return residuals, factor means, covariances of the patterns, log-density, and the pattern of each row."""
    rows = slice(int(data.starts[part.start]), int(data.starts[part.stop]))
    of = np.repeat(np.arange(part.stop - part.start), np.diff(data.starts[part.start : part.stop + 1]))
    seen = data.observed[part]
    spread, log_det = conditionals(model, seen)
    residual = data.rows[rows] - np.where(seen[of], model.mean - data.shift, 0)
    scaled = residual / model.noise
    pull = scaled @ model.loadings
    means = pull @ spread[0] if len(spread) == 1 else np.einsum("ni,nij->nj", pull, spread[of])
    square = np.einsum("ij,ij->i", residual, scaled) - np.einsum("ij,ij->i", pull, means)
    constant = seen @ (LOG_TAU + np.log(model.noise)) - log_det
    return residual, means, spread, -0.5 * (np.maximum(square, 0) + constant[of]), of


def log_density(model: LowRankGaussian, rows: Array) -> Array:
    """Return the log-density of each row's observed values, in nats; rows without any have 0.

    Parameters
    ----------
    model : LowRankGaussian
    rows : ndarray of shape (n, features)
        NaN where not observed.

    Returns
    -------
    ndarray of shape (n,)

    Examples
    --------
    >>> standard = LowRankGaussian(np.zeros(2), np.zeros((2, 1)), np.ones(2))
    >>> log_density(standard, np.array([[0.0, 0.0], [0.0, np.nan]])).round(4).tolist()
    [-1.8379, -0.9189]
    """
    return _each(model, rows)[1]


def posterior_means(model: LowRankGaussian, rows: Array) -> Array:
    """Return ``E[h | x_o] = (I + W_oᵀ ψ_o⁻¹ W_o)⁻¹ W_oᵀ ψ_o⁻¹ (x_o - μ_o)`` of each row, shape (n, k)."""
    return _each(model, rows)[0]


def _each(model: LowRankGaussian, rows: Array) -> tuple[Array, Array]:
    data = patterns(rows, model.mean)
    k = model.loadings.shape[1]
    means, density = np.empty((len(rows), k)), np.empty(len(rows))
    for part in chunks(data, k * k + rows.shape[1]):
        _, found, _, log_p, _ = posterior(model, data, part)
        where = data.order[data.starts[part.start] : data.starts[part.stop]]
        means[where], density[where] = found, log_p
    return means, density


def draw(model: LowRankGaussian, n: int, drawing: np.random.Generator) -> Array:
    """Draw ``n`` rows: factors, then noise."""
    d, k = model.loadings.shape
    factors = drawing.standard_normal((n, k))
    return model.mean + factors @ model.loadings.T + drawing.standard_normal((n, d)) * np.sqrt(model.noise)
