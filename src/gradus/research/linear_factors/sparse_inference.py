"""Sparse codes of rows under a given dictionary: the lasso, by three descents (§13.4, §19.3).

All minimize, for every row, ``½ ‖x - Dᵀ z‖² + λ ‖z‖₁`` with the atoms of the dictionary as rows of ``D``. Rows are
worked on together, through ``D Dᵀ`` and ``D x``, and leave when their duality gap, which bounds how far they are from
their minimum, is below a share of ``½ ‖x‖²``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradus.core.errors import InputError, SettingError
from gradus.research.linear_factors.base import Array

__all__ = ["Algorithm", "Codes", "coordinate_descent", "fista", "ista", "lasso_objective", "sparse_codes"]

Algorithm = Literal["fista", "ista", "coordinate"]
CHUNK = 512  # rows whose codes and gradients stay in the cache
CHECKED = 5  # iterations between two looks at the gap


class Codes(NamedTuple):
    """Codes of shape (n, atoms), most iterations any chunk took, and the largest gap left, as a share of ½ ‖x‖²."""

    codes: Array
    steps: int
    gap: float


def lasso_objective(rows: Array, dictionary: Array, codes: Array, penalty: float) -> Array:
    """Return ``½ ‖x - Dᵀ z‖² + λ ‖z‖₁`` of each row.

    Parameters
    ----------
    rows : ndarray of shape (n, features)
    dictionary : ndarray of shape (atoms, features)
    codes : ndarray of shape (n, atoms)
    penalty : float
        λ, 0 or more.

    Returns
    -------
    ndarray of shape (n,)

    Examples
    --------
    >>> lasso_objective(np.array([[2.0]]), np.array([[1.0]]), np.array([[1.5]]), 0.5).tolist()
    [0.875]
    """
    return 0.5 * np.square(rows - codes @ dictionary).sum(1) + penalty * np.abs(codes).sum(1)


def shrink(values: Array, threshold: float | Array) -> Array:
    """Return ``sign(v) max(|v| - t, 0)``, the proximal map of ``t ‖·‖₁``."""
    return values - np.clip(values, -threshold, threshold)


def ista(problem: Lasso, codes: Array, *, max_iter: int, tol: float) -> int:
    """Take gradient steps of length 1 / L, shrunk: ``z ← S(z + (D x - D Dᵀ z) / L, λ / L)``; error falls like 1 / t.

    Parameters
    ----------
    problem : Lasso
        Rows and dictionary.
    codes : ndarray of shape (n, atoms)
        Where to begin; overwritten with what was found.
    max_iter : int
        Most iterations.
    tol : float
        Rows leave at this gap, as a share of ``½ ‖x‖²``; 0 for none to leave.

    Returns
    -------
    int
        Iterations taken.
    """
    active, z = np.arange(len(codes)), codes.copy()
    for step in range(max_iter):
        descent = problem.pull - z @ problem.gram
        if tol > 0 and step % CHECKED == 0:
            codes[active] = z
            kept = problem.gaps(z, descent) > tol
            if not kept.any():
                return step
            active, z, descent, problem = active[kept], z[kept], descent[kept], problem.only(kept)
        z = shrink(z + descent / problem.steepest, problem.penalty / problem.steepest)
    codes[active] = z
    return max_iter


def fista(problem: Lasso, codes: Array, *, max_iter: int, tol: float) -> int:
    """Take `ista`'s steps from points ahead of the last two; error falls like 1 / t², parameters as there.

    A row's momentum starts anew where it points uphill: from there its code settles at a linear rate.

    References
    ----------
    Beck & Teboulle 2009, A fast iterative shrinkage-thresholding algorithm; O'Donoghue & Candès 2015, Adaptive restart.
    """
    active, z = np.arange(len(codes)), codes.copy()
    ahead, momentum = z.copy(), np.ones(len(z), z.dtype)
    for step in range(max_iter):
        if tol > 0 and step % CHECKED == 0:
            codes[active] = z
            kept = problem.gaps(z, problem.pull - z @ problem.gram) > tol
            if not kept.any():
                return step
            if kept.mean() < 0.8:
                active, z, ahead, momentum, problem = (
                    active[kept], z[kept], ahead[kept], momentum[kept], problem.only(kept),
                )  # fmt: skip
        descent = ahead @ problem.gram
        np.subtract(problem.pull, descent, out=descent)
        descent /= problem.steepest
        descent += ahead
        found = shrink(descent, problem.penalty / problem.steepest)
        ahead -= found
        np.subtract(found, z, out=z)  # the move, from here
        uphill = np.einsum("nk,nk->n", ahead, z) > 0
        following = np.where(uphill, 1, (1 + np.sqrt(1 + 4 * momentum**2)) / 2).astype(z.dtype)
        share = np.where(uphill, 0, (momentum - 1) / following).astype(z.dtype)
        z *= share[:, None]
        z += found
        ahead, z, momentum = z, found, following
    codes[active] = z
    return max_iter


def coordinate_descent(problem: Lasso, codes: Array, *, max_iter: int, tol: float) -> int:
    """Minimize over one atom's code after another, in closed form; an iteration is one round, parameters as in `ista`.

    References
    ----------
    Friedman, Hastie & Tibshirani 2010, Regularization paths for generalized linear models via coordinate descent.
    """
    active = np.arange(len(codes))
    z = np.ascontiguousarray(codes.T)
    descent = np.ascontiguousarray((problem.pull - codes @ problem.gram).T)
    own = np.diagonal(problem.gram)
    for step in range(max_iter):
        if tol > 0:
            codes[active] = z.T
            kept = problem.gaps(z.T, descent.T) > tol
            if not kept.any():
                return step
            active, problem = active[kept], problem.only(kept)
            z, descent = np.ascontiguousarray(z[:, kept]), np.ascontiguousarray(descent[:, kept])
        for k in np.flatnonzero(own):
            new = shrink(descent[k] + own[k] * z[k], problem.penalty) / own[k]
            change = new - z[k]
            moved = np.flatnonzero(change)
            if 4 * len(moved) < len(change):
                descent[:, moved] -= problem.gram[:, k, None] * change[moved]
            else:
                descent -= problem.gram[:, k, None] * change
            z[k] = new
    codes[active] = z.T
    return max_iter


ALGORITHMS: dict[str, Callable[..., int]] = {"ista": ista, "fista": fista, "coordinate": coordinate_descent}


class Lasso(NamedTuple):
    """What the descents need: ``D x`` and ``‖x‖²`` of each row, ``D Dᵀ`` and its largest eigenvalue, and λ."""

    pull: Array
    squares: Array
    gram: Array
    steepest: float
    penalty: float

    def only(self, kept: NDArray[np.bool_]) -> Lasso:
        """Return the problem of some of the rows."""
        return self._replace(pull=self.pull[kept], squares=self.squares[kept])

    def gaps(self, codes: Array, descent: Array) -> Array:
        """Return duality gaps as shares of ``½ ‖x‖²``; ``descent`` is ``D r`` of the residuals r.

        ``θ = s r`` with ``s = min(1, λ / ‖D r‖_∞)`` is feasible for the dual, whose value ``θᵀx - ½ ‖θ‖²`` no code's
        objective is below.
        """
        inner = np.einsum("nk,nk->n", codes, self.pull)
        residual = self.squares - inner - np.einsum("nk,nk->n", codes, descent)  # ‖r‖²
        largest = np.abs(descent).max(1)
        scale = np.where(largest > self.penalty, self.penalty / np.where(largest > 0, largest, 1.0), 1.0)
        dual = scale * (self.squares - inner) - 0.5 * scale**2 * residual
        gap = 0.5 * residual + self.penalty * np.abs(codes).sum(1) - dual
        return gap / np.where(self.squares > 0, 0.5 * self.squares, 1.0)


def sparse_codes(
    rows: Array,
    dictionary: Array,
    penalty: float,
    *,
    algorithm: Algorithm = "fista",
    start: Array | None = None,
    max_iter: int = 1000,
    tol: float = 1e-4,
    measured: bool = True,
) -> Codes:
    """Return the codes that minimize ``½ ‖x - Dᵀ z‖² + λ ‖z‖₁`` for each row.

    Parameters
    ----------
    rows : ndarray of shape (n, features)
        Their precision is that of the work: float64, or float32 for half the time.
    dictionary : ndarray of shape (atoms, features)
        Of the same precision.
    penalty : float
        λ, above 0.
    algorithm : {"fista", "ista", "coordinate"}
        Which descent.
    start : ndarray of shape (n, atoms), optional
        Codes to begin from; zeros by default.
    max_iter : int
        Most iterations.
    tol : float
        A duality gap to stop at, as a share of ``½ ‖x‖²``; 0 to take ``max_iter`` iterations without looking.
    measured : bool
        Whether to measure the gap left; NaN if not.

    Returns
    -------
    Codes

    Raises
    ------
    SettingError
        If the penalty is not above 0, or the algorithm is unknown.
    InputError
        If rows and atoms differ in width.

    Examples
    --------
    >>> sparse_codes(np.array([[3.0, 0.2]]), np.eye(2), 0.5).codes.round(3).tolist()
    [[2.5, 0.0]]

    References
    ----------
    Goodfellow et al. 2016, §13.4, eq. 13.16; §19.3.
    """
    if not penalty > 0:
        raise SettingError("a penalty above 0", str(penalty), "set for example penalty=0.1")
    if algorithm not in ALGORITHMS:
        raise SettingError(f"an algorithm among {', '.join(ALGORITHMS)}", repr(algorithm), "set algorithm='fista'")
    if rows.ndim != 2 or dictionary.ndim != 2 or rows.shape[1] != dictionary.shape[1]:
        received = f"rows of {rows.shape} and atoms of {dictionary.shape}"
        raise InputError("rows and atoms of the same width", received, "pass the rows that the dictionary is for")
    gram = dictionary @ dictionary.T
    steepest = float(np.linalg.eigvalsh(gram)[-1]) or 1.0  # no gradient changes faster
    codes = np.zeros((len(rows), len(dictionary)), rows.dtype) if start is None else np.array(start, dtype=rows.dtype)
    most, widest = 0, 0.0
    for begin in range(0, len(rows), CHUNK):
        part = rows[begin : begin + CHUNK]
        problem = Lasso(part @ dictionary.T, np.einsum("nd,nd->n", part, part), gram, steepest, penalty)
        own = codes[begin : begin + CHUNK]  # a view: the descents write into it
        most = max(most, ALGORITHMS[algorithm](problem, own, max_iter=max_iter, tol=tol))
        if measured:
            widest = max(widest, float(problem.gaps(own, problem.pull - own @ gram).max()))
    return Codes(codes, most, max(widest, 0.0) if measured else np.nan)
