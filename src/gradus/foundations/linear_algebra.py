"""Rank, pseudo-inverse and conditioning with a stated tolerance; the largest singular values, quickly (chapter 2)."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError, SettingError

__all__ = ["SVD", "condition_number", "pseudo_inverse", "randomized_svd", "rank"]


class SVD(NamedTuple):
    """``A ≈ left diag(values) rightᵀ``; the book's U, the diagonal of D, and V.

    Attributes
    ----------
    left : Tensor of shape (rows, k)
        Orthonormal columns.
    values : Tensor of shape (k,)
        Singular values, falling.
    right : Tensor of shape (columns, k)
        Orthonormal columns.
    """

    left: Float[Tensor, "rows k"]
    values: Float[Tensor, " k"]
    right: Float[Tensor, "columns k"]

    def matrix(self) -> Float[Tensor, "rows columns"]:
        """Return ``left diag(values) rightᵀ``."""
        return (self.left * self.values) @ self.right.T


def _check_matrix(matrix: Tensor) -> None:
    if matrix.ndim != 2 or not matrix.is_floating_point():
        received = f"shape {tuple(matrix.shape)} of {matrix.dtype}"
        raise InputError("a matrix of real numbers", received, "pass a float tensor with two axes")
    if not bool(matrix.isfinite().all()):
        raise InputError("finite numbers in the matrix", "infinite or missing ones", "replace or drop them")


def _threshold(values: Tensor, shape: tuple[int, ...], rtol: float | None, atol: float) -> Tensor:
    """Return the singular value up to which one counts as zero."""
    for name, tolerance in {"rtol": rtol, "atol": atol}.items():
        if tolerance is not None and not 0 <= tolerance < inf:
            raise SettingError(f"{name} of 0 or more", str(tolerance), f"leave {name} out")
    if rtol is None:
        rtol = max(shape) * torch.finfo(values.dtype).eps
    largest = values.max() if values.numel() else values.new_zeros(())
    return torch.clamp(rtol * largest, min=atol)


def rank(matrix: Float[Tensor, "m n"], *, rtol: float | None = None, atol: float = 0.0) -> int:
    """Return the number of singular values above ``max(atol, rtol * largest)``.

    Rounding turns exact zeros into small numbers, so a rank in floating point is always one up to a tolerance.

    Parameters
    ----------
    matrix : Tensor of shape (m, n)
        Finite numbers.
    rtol : float, optional
        Relative to the largest singular value, 0 or more; by default ``max(m, n)`` times the precision of the dtype.
    atol : float
        Absolute, in the matrix's units, 0 or more.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If it is no matrix of finite numbers.
    SettingError
        If a tolerance is negative.

    Examples
    --------
    >>> rank(torch.tensor([[1.0, 2.0], [2.0, 4.0]]))
    1

    References
    ----------
    Goodfellow et al. 2016, §2.4, §2.8; Golub & Van Loan 2013, §5.4.1.
    """
    _check_matrix(matrix)
    values = torch.linalg.svdvals(matrix)
    return int((values > _threshold(values, tuple(matrix.shape), rtol, atol)).sum())


def pseudo_inverse(
    matrix: Float[Tensor, "m n"], *, rtol: float | None = None, atol: float = 0.0
) -> Float[Tensor, "n m"]:
    """Return the Moore-Penrose pseudo-inverse ``A⁺ = V D⁺ Uᵀ``.

    ``A⁺ b`` is, of all ``x`` that bring ``A x`` nearest to ``b``, the shortest. Singular values that `rank` does not
    count are taken for zero: inverted, they would turn rounding into enormous numbers.

    Parameters
    ----------
    matrix, rtol, atol
        As in `rank`.

    Returns
    -------
    Tensor of shape (n, m)

    Raises
    ------
    InputError
        If it is no matrix of finite numbers.
    SettingError
        If a tolerance is negative.

    Examples
    --------
    >>> pseudo_inverse(torch.tensor([[3.0, 0.0], [0.0, 0.0], [4.0, 0.0]])).round(decimals=4)
    tensor([[0.1200, 0.0000, 0.1600],
            [0.0000, 0.0000, 0.0000]])

    References
    ----------
    Goodfellow et al. 2016, §2.9, eq. 2.47.
    """
    _check_matrix(matrix)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    kept = values > _threshold(values, tuple(matrix.shape), rtol, atol)
    inverted = torch.where(kept, values, torch.ones_like(values)).reciprocal() * kept
    return (right.mH * inverted) @ left.mH


def condition_number(matrix: Float[Tensor, "m n"]) -> float:
    """Return the largest singular value over the smallest: ``κ(A) = σ_max / σ_min``.

    An error of relative size ε in ``b`` becomes one of up to κ ε in the solution of ``A x = b``. For a symmetric matrix
    it is the ratio of the largest eigenvalue to the smallest, in size: eq. 4.2.

    Parameters
    ----------
    matrix : Tensor of shape (m, n)
        Finite numbers, m and n of 1 or more.

    Returns
    -------
    float
        1 or more; infinity where a singular value is exactly zero. Beyond one over the precision of the dtype
        (1e7 in float32, 5e15 in float64) it says no more than that.

    Raises
    ------
    InputError
        If it is no matrix of finite numbers, or has no elements.

    Examples
    --------
    >>> condition_number(torch.diag(torch.tensor([4.0, -2.0, 1.0])))
    4.0

    References
    ----------
    Goodfellow et al. 2016, §4.2, eq. 4.2.
    """
    _check_matrix(matrix)
    if matrix.numel() == 0:
        raise InputError("a matrix with elements", f"shape {tuple(matrix.shape)}", "pass one row or more")
    values = torch.linalg.svdvals(matrix)
    return float(values[0] / values[-1]) if values[-1] > 0 else inf


def randomized_svd(
    matrix: Float[Tensor, "m n"],
    k: int,
    *,
    generator: torch.Generator,
    oversampling: int = 10,
    power_iterations: int = 4,
) -> SVD:
    """Return about the ``k`` largest singular values and their vectors, from products with the matrix alone.

    The range of ``(A Aᵀ)^q A Ω``, with Ω a Gaussian matrix of ``k + oversampling`` columns, holds nearly all of the
    range of the best approximation of rank ``k``; within it, the decomposition is exact. Each power iteration squares
    how far the wanted directions stand out, so that the error left over,
    ``‖A - Â‖ ≈ σ_{k+1} (1 + c √n)^{1/(2q+1)}``, falls with ``q`` even where singular values fall slowly.

    Parameters
    ----------
    matrix : Tensor of shape (m, n)
        Finite numbers.
    k : int
        How many values, 1 to min(m, n).
    generator : Generator
        Draws Ω.
    oversampling : int
        Extra columns of Ω, 0 or more; cut to what the matrix has.
    power_iterations : int
        The paper's q, 0 or more. 4 leaves errors below 1e-3 on spectra of real data; 0 is for fast-falling ones.

    Returns
    -------
    SVD
        Of each pair of vectors, the sign makes the largest component of the right one positive.

    Raises
    ------
    InputError
        If it is no matrix of finite numbers.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> outer = torch.outer(torch.arange(1.0, 5.0), torch.tensor([3.0, 4.0]))
    >>> found = randomized_svd(outer, 1, generator=torch.Generator().manual_seed(0))
    >>> round(float(found.values[0]), 4), found.right.round(decimals=4).flatten().tolist()
    (27.3861, [0.6000000238418579, 0.800000011920929])

    References
    ----------
    Goodfellow et al. 2016, §2.8; Halko, Martinsson & Tropp 2011, Finding Structure with Randomness, algorithms 4.4 and
    5.1, theorem 10.8.
    """
    _check_matrix(matrix)
    m, n = matrix.shape
    if not 1 <= k <= min(m, n):
        raise SettingError(f"k from 1 to {min(m, n)}, the smaller side of the matrix", str(k), "set k lower")
    for name, value in {"oversampling": oversampling, "power_iterations": power_iterations}.items():
        if value < 0:
            raise SettingError(f"{name} of 0 or more", str(value), f"leave {name} out")
    if m < n:  # the products are the same; the sketch of the shorter side is cheaper to make orthonormal
        flipped = randomized_svd(
            matrix.T, k, generator=generator, oversampling=oversampling, power_iterations=power_iterations
        )
        return _signed(flipped.right, flipped.values, flipped.left)
    width = min(k + oversampling, n)
    drawn = torch.randn(n, width, generator=generator, device=generator.device).to(matrix)
    basis, _ = torch.linalg.qr(matrix @ drawn)
    for _ in range(power_iterations):  # made orthonormal at each half: the powers would lose all but the first vector
        other, _ = torch.linalg.qr(matrix.T @ basis)
        basis, _ = torch.linalg.qr(matrix @ other)
    left, values, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    return _signed(basis @ left[:, :k], values[:k], right[:k].T)


def _signed(left: Tensor, values: Tensor, right: Tensor) -> SVD:
    signs = right.gather(0, right.abs().argmax(0, keepdim=True)).sign()
    return SVD(left * signs, values, right * signs)
