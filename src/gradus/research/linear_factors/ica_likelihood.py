"""Independent components by maximum likelihood: quasi-Newton steps on the relative gradient, densities that adapt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradus.foundations.numerical.quasi_newton import inverse_hessian_product
from gradus.research.linear_factors.base import Array
from gradus.research.linear_factors.ica_density import Densities, learn_densities

__all__ = ["Separation", "separate"]

MEMORY = 7
STEPS = 10  # between two times that densities are learned
ROUNDS = 4  # after which their smoothness stays
LEAST_CURVATURE = 0.01


class Separation(NamedTuple):
    """Unmixing matrix of whitened rows, densities of the sources, log-likelihoods on the way, steps, and if it settled.

    ``log_likelihoods`` are means a row of ``log |det W| + Σ log p(s)``, in nats, of whitened rows.
    """

    unmixing: Array
    densities: Densities
    log_likelihoods: list[float]
    steps: int
    settled: bool


def separate(white: Array, start: Array, *, max_iter: int, tol: float) -> Separation:
    """Maximize ``log |det W| + E[Σ log p_i(w_i x)]`` over ``W`` and over smooth densities ``p_i``.

    With ``s = W x`` and ``ψ = -(log p)'`` the relative gradient is ``G = E[ψ(s) sᵀ] - I``: the change of the loss
    along ``W ← (I + ε) W``. Its Hessian is near one of 2 x 2 blocks, which couple ε_ij with ε_ji and cost nothing to
    invert; L-BFGS mends what is left. Densities are learned anew as the sources become clear.

    Parameters
    ----------
    white : ndarray of shape (k, n)
        Whitened rows, one a column.
    start : ndarray of shape (k, k)
        First unmixing.
    max_iter : int
        Most steps.
    tol : float
        Ends where densities learned anew move no element of ``W W_before⁻¹ - I`` by more, or gain less than as many
        nats.

    Returns
    -------
    Separation

    References
    ----------
    Goodfellow et al. 2016, §13.2; Pham & Garat 1997, Blind separation of mixtures of independent sources through a
    quasi-maximum likelihood approach; Ablin, Cardoso & Gramfort 2018, Faster ICA by preconditioning with Hessian
    approximations; Hastie & Tibshirani 2002, Independent components analysis through product density estimation.
    """
    unmixing = _normal(start, white)
    sources = unmixing @ white
    densities = learn_densities(sources)
    reached = [_value(unmixing, sources, densities)]
    steps, rounds, settled = 0, 0, False
    while steps < max_iter and not settled:
        most = min(STEPS, max_iter - steps)
        ahead, taken = _descend(unmixing, white, sources, densities, most=most, tol=tol)
        ahead = _normal(ahead, white)
        moved = ahead @ np.linalg.inv(unmixing)
        settled = float(np.abs(moved - np.eye(len(moved))).max()) <= tol
        unmixing, steps, rounds = ahead, steps + max(taken, 1), rounds + 1
        sources = unmixing @ white
        # chosen anew each time, smoothness might jump to and fro for ever
        densities = learn_densities(sources, densities.smoothness if rounds >= ROUNDS else None)
        reached.append(_value(unmixing, sources, densities))
        # of few rows, or of rows on a grid, the likelihood has no smooth top: what gains nothing is the end too
        settled |= rounds > ROUNDS and reached[-1] - max(reached[:-1]) < tol
    return Separation(unmixing, densities, reached, steps, settled)


def _normal(unmixing: Array, white: Array) -> Array:
    """Return the unmixing with sources of variance 1."""
    return unmixing / (unmixing @ white).std(1)[:, None]


def _value(unmixing: Array, sources: Array, densities: Densities) -> float:
    """Return the mean log-likelihood a row."""
    return float(np.linalg.slogdet(unmixing)[1] + densities.log_density(sources).mean(1).sum())


def _descend(
    unmixing: Array, white: Array, sources: Array, densities: Densities, *, most: int, tol: float
) -> tuple[Array, int]:
    """Take up to ``most`` steps with densities as they are; return where they lead and how many there were.

    The scale of a source is a matter of its density, which is learned at variance 1: the diagonal stays as it is.
    """
    n = sources.shape[1]
    pairs: list[tuple[Tensor, Tensor]] = []
    lowest = -_value(unmixing, sources, densities)
    previous: tuple[Array, Array] | None = None
    for taken in range(most):
        score, slope = densities.at(sources, densities.score, densities.slope)
        gradient = score @ sources.T / n
        np.fill_diagonal(gradient, 0)
        if np.abs(gradient).max() <= 0.1 * tol:
            return unmixing, taken
        if previous is not None:
            step, old = previous
            change = gradient - old
            inner = float(np.vdot(step, change))
            if inner > 1e-12 * float(np.vdot(step, step)):
                pairs = [*pairs, (torch.from_numpy(step), torch.from_numpy(change))][-MEMORY:]
        curvature = _curvature(slope, sources)
        step = -_preconditioned(gradient, pairs, curvature)
        moved = _search(unmixing, white, densities, step, lowest)
        if moved is None and pairs:  # the memory misled: once more without it
            pairs, step = [], -_solve(gradient, curvature)
            moved = _search(unmixing, white, densities, step, lowest)
        if moved is None:
            return unmixing, taken
        length, unmixing, sources, lowest = moved
        previous = length * step, gradient
    return unmixing, most


def _search(
    unmixing: Array, white: Array, densities: Densities, step: Array, lowest: float
) -> tuple[float, Array, Array, float] | None:
    """Return length, unmixing, sources and loss of the first length tried that lowers the loss, if one does."""
    length = 1.0
    for _ in range(8):
        ahead = unmixing + length * step @ unmixing
        sources = ahead @ white
        value = -_value(ahead, sources, densities)
        if value < lowest:
            return length, ahead, sources, value
        length /= 2
    return None


def _curvature(slope: Array, sources: Array) -> Array:
    """Return ``h_ij = E[ψ'(s_i)] E[s_j²]``, kept clear of zero and below; the diagonal, which does not move, is 1.

    A block ``[[h_ij, 1], [1, h_ji]]`` has to be positive: where its smaller eigenvalue is not, both are raised.
    """
    squares = np.square(sources)
    h = slope.mean(1)[:, None] * squares.mean(1)[None, :]
    smaller = (h + h.T - np.sqrt((h - h.T) ** 2 + 4)) / 2
    raised = np.maximum(LEAST_CURVATURE - smaller, 0)
    h += raised
    np.fill_diagonal(h, 1)
    return h


def _solve(gradient: Array, h: Array) -> Array:
    """Return the blocks' inverse times a gradient."""
    determinant = h * h.T - 1
    np.fill_diagonal(determinant, 1)
    found = (h.T * gradient - gradient.T) / determinant
    np.fill_diagonal(found, 0)
    return found


def _preconditioned(gradient: Array, pairs: list[tuple[Tensor, Tensor]], h: Array) -> Array:
    """Return L-BFGS's inverse Hessian times the gradient, begun from the blocks."""

    def blocks(q: Tensor) -> Tensor:
        return torch.from_numpy(_solve(q.numpy(), h))

    found: Array = inverse_hessian_product(torch.from_numpy(gradient), pairs, blocks).numpy()
    return found
