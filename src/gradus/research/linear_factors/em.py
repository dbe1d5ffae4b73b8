"""Expectation maximization for Gaussian factor models: one step as a pure function, and a faster way along its steps.

The E-step's factors have ``Cov[h | x] = G = (I + Wᵀ ψ⁻¹ W)⁻¹`` and ``E[h | x] = G Wᵀ ψ⁻¹ (x - μ)``. Where all is
observed, sums over rows are those of the covariance, computed once, and a step costs features² times factors whatever
the number of rows. Where values are missing they take no part: only the factors are latent, and the M-step is a
regression of each feature on the factors over the rows that have it. No step lowers the likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from gradus.research.linear_factors.base import Array
from gradus.research.linear_factors.gaussian import LOG_TAU, LowRankGaussian, chunks, posterior
from gradus.research.linear_factors.moments import Moments, Patterns

__all__ = ["Climb", "EMInfo", "climb", "init", "step", "variances_of"]

FAR = 200.0  # nats by which a leap may move a logarithm of noise: beyond it an exponential could overflow


class EMInfo(NamedTuple):
    """What a step saw: the mean log-likelihood a row of the state it was given, in nats."""

    log_likelihood: float


def init(
    data: Moments | Patterns, k: int, *, isotropic: bool, floor: float, noise: Array | None = None, rounds: int = 0
) -> LowRankGaussian:
    """Return where EM begins: with noise as large as what each feature keeps when all others predict it.

    That is ``1 / (S⁻¹)_jj``, the greatest noise that any number of factors leaves; the loadings are then the principal
    ones of ``ψ^{-1/2} S ψ^{-1/2}``. The likelihood of factor analysis has several optima, and from noise that is too
    small EM was seen to end in worse ones. Isotropic noise begins at the features' mean variance.

    Parameters
    ----------
    data : Moments or Patterns
        Of the rows.
    k : int
        Number of factors.
    isotropic : bool
        Whether all features have the same noise.
    floor : float
        Least noise variance.
    noise : ndarray of shape (features,), optional
        Other noise to begin from.
    rounds : int
        How often to take what the loadings leave of the variances for the noise, and the loadings anew.

    Returns
    -------
    LowRankGaussian
    """
    variances, mean = variances_of(data)
    covariance = _pairwise(data, mean) if isinstance(data, Patterns) else data.covariance
    if noise is None:
        noise = np.maximum(np.full_like(variances, variances.mean()) if isotropic else variances, floor)
        if not isotropic and covariance is not None:
            noise = _unpredicted(covariance, noise, floor)
    for _ in range(rounds):
        loadings = _principal(data, covariance, k, noise, 0.0)
        noise = np.maximum(variances - np.square(loadings).sum(1), np.maximum(1e-3 * variances, floor))
        noise = np.full_like(noise, noise.mean()) if isotropic else noise
    # A factor of length zero would stay so: its gradient is zero. Those below the noise begin small instead.
    return LowRankGaussian(mean, _principal(data, covariance, k, noise, 1e-2), noise)


def _principal(data: Moments | Patterns, covariance: Array | None, k: int, noise: Array, least: float) -> Array:
    """Return the best loadings for given noise, the squared length of each, in units of noise, at least ``least``."""
    root, d = np.sqrt(noise), len(noise)
    if covariance is not None:
        values, vectors = eigh(covariance / root / root[:, None], subset_by_index=(d - k, d - 1))
    else:
        _, values, right = np.linalg.svd(cast("Moments", data).rows / root, full_matrices=False)
        values, vectors = values[:k][::-1] ** 2, right[:k][::-1].T
    return root[:, None] * vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1] - 1, least))


def step(
    state: LowRankGaussian, data: Moments | Patterns, *, isotropic: bool, floor: float, expanded: bool = False
) -> tuple[LowRankGaussian, EMInfo]:
    """Take one step of EM.

    Parameters
    ----------
    state : LowRankGaussian
        Where to step from.
    data : Moments or Patterns
        Of the rows.
    isotropic : bool
        Whether all features have the same noise.
    floor : float
        Least noise variance; the M-step maximizes under it.
    expanded : bool
        Let the factors' own covariance be fitted too and put it into the loadings: as monotone, and faster (PX-EM).

    Returns
    -------
    tuple of LowRankGaussian and EMInfo

    References
    ----------
    Rubin & Thayer 1982, EM algorithms for ML factor analysis; Tipping & Bishop 1999, Probabilistic principal component
    analysis; Liu, Rubin & Wu 1998, Parameter expansion to accelerate EM: the PX-EM algorithm.
    """
    if isinstance(data, Moments):
        return _step_moments(state, data, isotropic=isotropic, floor=floor, expanded=expanded)
    return _step_patterns(state, data, isotropic=isotropic, floor=floor, expanded=expanded)


def _step_moments(
    state: LowRankGaussian, data: Moments, *, isotropic: bool, floor: float, expanded: bool
) -> tuple[LowRankGaussian, EMInfo]:
    d, k = state.loadings.shape
    scaled = state.loadings / state.noise[:, None]
    precision = state.loadings.T @ scaled
    precision.flat[:: k + 1] += 1
    root = cho_factor(precision, lower=True, check_finite=False)
    spread = cho_solve(root, np.eye(k), check_finite=False)
    cross = data.times(scaled) @ spread  # Σ x hᵀ / n
    log_det = np.log(state.noise).sum() + 2 * np.log(np.diag(root[0])).sum()
    square = (data.variances / state.noise).sum() - np.vdot(cross, scaled)
    square += _shifted(state, data, scaled, spread)
    second = spread + (cross.T @ scaled) @ spread  # Σ h hᵀ / n
    second = (second + second.T) / 2
    loadings = np.linalg.solve(second, cross.T).T
    noise = data.variances - np.einsum("ij,ij->i", loadings, cross)
    noise = np.maximum(np.full(d, noise.mean()) if isotropic else noise, floor)
    if expanded:
        loadings = loadings @ _root(second)
    info = EMInfo(-0.5 * float(d * LOG_TAU + log_det + square))
    return LowRankGaussian(data.mean, loadings, noise), info


def _shifted(state: LowRankGaussian, data: Moments, scaled: Array, spread: Array) -> float:
    """Return what a mean other than the rows' adds to the squared distance; EM sets the right one in its first step."""
    off = data.mean - state.mean
    pull = off @ scaled
    return float((off * off / state.noise).sum() - pull @ spread @ pull)


def _step_patterns(
    state: LowRankGaussian, data: Patterns, *, isotropic: bool, floor: float, expanded: bool
) -> tuple[LowRankGaussian, EMInfo]:
    d, k = state.loadings.shape
    width = k + 1  # the factors, and a one for the mean
    total, n = 0.0, len(data.rows)
    cross, squares = np.zeros((d, width)), np.zeros((d, width * width))
    second = np.zeros((width, width))
    for part in chunks(data, width * width + d):
        rows = slice(int(data.starts[part.start]), int(data.starts[part.stop]))
        _, means, spread, log_p, of = posterior(state, data, part)
        total += float(log_p.sum())
        wide = np.concatenate([means, np.ones((len(means), 1))], 1)
        cross += data.rows[rows].T @ wide  # gaps hold zero
        inner = np.zeros((part.stop - part.start, width, width))
        inner[:, :k, :k] = spread * np.diff(data.starts[part.start : part.stop + 1])[:, None, None]
        if len(inner) == 1:
            inner[0] += wide.T @ wide
        else:
            np.add.at(inner, of, wide[:, :, None] * wide[:, None, :])
        squares += data.observed[part].T.astype(np.float64) @ inner.reshape(len(inner), -1)
        second += inner.sum(0)
    squares = squares.reshape(d, width, width)
    found = np.linalg.solve(squares, cross[:, :, None])[:, :, 0]
    own = np.einsum("ij,ij->j", data.rows, data.rows) - np.einsum("ij,ij->i", found, cross)
    counts = squares[:, k, k]
    noise = np.maximum(np.full(d, own.sum() / counts.sum()) if isotropic else own / counts, floor)
    loadings, mean = found[:, :k], found[:, k] + data.shift
    if expanded:
        centre = second[:k, k] / n
        mean = mean + loadings @ centre
        loadings = loadings @ _root(second[:k, :k] / n - np.outer(centre, centre))
    return LowRankGaussian(mean, loadings, noise), EMInfo(total / n)


def _unpredicted(covariance: Array, variances: Array, floor: float) -> Array:
    """Return what of each variance the other features do not predict; all of it where they all predict each other."""
    d = len(variances)
    ridge = covariance + np.diag(1e-6 * variances)
    inverse = cho_solve(cho_factor(ridge, lower=True), np.eye(d))
    return np.clip(1 / np.diagonal(inverse), np.maximum(1e-2 * variances, floor), variances)


def _root(symmetric: Array) -> Array:
    """Return the symmetric root: of all roots the one that turns the factors least, so that steps can be compared."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def variances_of(data: Moments | Patterns) -> tuple[Array, Array]:
    """Return variances and means of the features, over observed values."""
    if isinstance(data, Moments):
        return data.variances, data.mean
    counts = np.diff(data.starts) @ data.observed
    mean = data.rows.sum(0) / counts
    return np.einsum("ij,ij->j", data.rows, data.rows) / counts - mean**2, mean + data.shift


def _pairwise(data: Patterns, mean: Array) -> Array:
    """Return covariances with gaps filled by means: somewhat too small, good enough to begin from."""
    filled = data.rows - np.repeat(data.observed, np.diff(data.starts), axis=0) * (mean - data.shift)
    return filled.T @ filled / len(filled)


# ---- along the steps, faster ----


class Climb(NamedTuple):
    """Where EM ended, what each state on the way had, how many steps were taken, and whether it had settled."""

    state: LowRankGaussian
    log_likelihoods: list[float]
    steps: int
    settled: bool


def climb(
    state: LowRankGaussian,
    take: Callable[[LowRankGaussian], tuple[LowRankGaussian, EMInfo]],
    *,
    max_iter: int,
    tol: float,
    floor: float,
    accelerated: bool = True,
) -> Climb:
    """Repeat steps until one gains less than ``tol`` nats a row; accelerated, by squared extrapolation.

    Two steps show how fast what is left shrinks; SQUAREM leaps ahead along them by ``θ + 2 α r + α² v`` with
    ``r`` the first step, ``v`` the second minus the first, ``α = |r| / |v|``, and takes a plain step from there. A leap
    that lowers the likelihood is shortened, in the end to the plain second step: the likelihood never falls.

    Parameters
    ----------
    state : LowRankGaussian
        Where to begin.
    take : callable
        `step`, with its data and settings filled in.
    max_iter : int
        Most calls of ``take``.
    tol : float
        Nats a row.
    floor : float
        Least noise variance.
    accelerated : bool
        Whether to leap.

    Returns
    -------
    Climb

    References
    ----------
    Varadhan & Roland 2008, Simple and globally convergent methods for accelerating the convergence of any EM algorithm.
    """
    reached: list[float] = []
    steps, settled = 0, False
    after, info = take(state)
    steps += 1
    reached.append(info.log_likelihood)
    while steps < max_iter and not settled:
        here = state, after
        second, info = take(after)
        steps += 1
        last = reached[-1]
        reached.append(info.log_likelihood)  # of `after`
        state, after = after, second
        gain = info.log_likelihood - last
        if accelerated and steps < max_iter:
            leap = _leap(*here, second, floor)
            for _ in range(3):
                if leap is None or steps >= max_iter:
                    break
                beyond, info = take(leap)
                steps += 1
                if info.log_likelihood >= reached[-1]:
                    gain = info.log_likelihood - last
                    reached.append(info.log_likelihood)
                    state, after = leap, beyond
                    break
                leap = _leap(*here, second, floor, shorten=leap)
        settled = gain < tol
    return Climb(after, reached, steps, settled)


def _leap(
    state: LowRankGaussian,
    first: LowRankGaussian,
    second: LowRankGaussian,
    floor: float,
    shorten: LowRankGaussian | None = None,
) -> LowRankGaussian | None:
    """Extrapolate two steps; given a leap that was too long, one half as long. Noise goes by its logarithm."""
    if shorten is not None:
        # half way between the leap and the second step
        noise = np.sqrt(shorten.noise) * np.sqrt(second.noise)  # a product of variances could overflow
        return LowRankGaussian(
            (shorten.mean + second.mean) / 2, (shorten.loadings + second.loadings) / 2, np.maximum(noise, floor)
        )
    scale = 1 / np.sqrt(state.noise)
    log = [np.log(each.noise) for each in (state, first, second)]
    r = [first.mean - state.mean, first.loadings - state.loadings, log[1] - log[0]]
    v = [second.mean - first.mean - r[0], second.loadings - first.loadings - r[1], log[2] - log[1] - r[2]]
    weights = (scale, scale[:, None], 1.0)
    lengths = [
        sum(float(np.square(part * w).sum()) for part, w in zip(parts, weights, strict=True)) for parts in (r, v)
    ]
    if lengths[0] == 0 or lengths[1] == 0:
        return None
    alpha = np.sqrt(lengths[0] / lengths[1])
    if alpha <= 1:
        return None
    mean, loadings, logs = (
        start + 2 * alpha * a + alpha**2 * b
        for start, a, b in zip((state.mean, state.loadings, log[0]), r, v, strict=True)
    )
    return LowRankGaussian(mean, loadings, np.maximum(np.exp(np.clip(logs, log[2] - FAR, log[2] + FAR)), floor))
