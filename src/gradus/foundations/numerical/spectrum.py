"""The eigenvalues of matrices too large to form, from products with vectors: Lanczos and his quadrature (§4.3.1)."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.foundations.numerical.points import Vector, check_vector

__all__ = ["Spectrum", "hessian_spectrum"]


class Spectrum(NamedTuple):
    """What `hessian_spectrum` found.

    Attributes
    ----------
    values : Tensor of shape (nodes,)
        Places among the eigenvalues, rising.
    weights : Tensor of shape (nodes,)
        The share of eigenvalues that each place stands for; they sum to 1. So ``weights @ f(values)`` estimates the
        mean of ``f`` over all eigenvalues, without bias for polynomials up to degree ``2 steps - 1``.
    smallest, largest : float
        The extreme eigenvalues; never beyond the true ones but by rounding.
    smallest_error, largest_error : float
        A true eigenvalue lies within this distance of it.
    """

    values: Float[Tensor, " nodes"]
    weights: Float[Tensor, " nodes"]
    smallest: float
    largest: float
    smallest_error: float
    largest_error: float

    def density(self, at: Float[Tensor, " points"], width: float) -> Float[Tensor, " points"]:
        """Return the density of eigenvalues at some places, each node spread as a Gaussian.

        Parameters
        ----------
        at : Tensor of shape (points,)
            Places.
        width : float
            Standard deviation of the Gaussian, above 0, in the eigenvalues' units.
        """
        if not width > 0:
            raise SettingError("a width above 0", f"width={width}", "set for example a hundredth of the range")
        apart = (at[:, None] - self.values.to(at)[None, :]) / width
        return (-0.5 * apart.square()).exp() @ self.weights.to(at) / (width * (2 * pi) ** 0.5)


def hessian_spectrum(
    product: Callable[[Vector], Vector],
    like: Vector,
    *,
    generator: torch.Generator,
    steps: int = 80,
    probes: int = 8,
) -> Spectrum:
    """Estimate the spectrum of a symmetric matrix that is known by its products, such as a Hessian.

    From a random direction, `steps` products make an orthonormal basis in which the matrix is tridiagonal. The
    eigenvalues of that small matrix are nodes, and the squared first components of its eigenvectors weights, of a
    Gaussian quadrature of the spectrum as the direction sees it; several directions are averaged. The extreme ones
    converge first.

    Parameters
    ----------
    product : callable
        ``v -> A v``: of :func:`hessian_vector_product`, :func:`gauss_newton_product`, or any symmetric matrix.
    like : Tensor of shape (n,)
        A vector of the size, dtype and device that products take; its numbers are not used.
    generator : Generator
        Draws the directions.
    steps : int
        Products for each direction, 1 or more; n are always enough. Memory grows with ``steps`` times n.
    probes : int
        Directions, 1 or more. The error of a mean over the spectrum falls with the root of ``n probes``.

    Returns
    -------
    Spectrum

    Raises
    ------
    InputError
        If a product is not finite, or of another shape.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> eigenvalues = torch.arange(1.0, 101.0, dtype=torch.float64)
    >>> found = hessian_spectrum(lambda v: eigenvalues * v, eigenvalues, generator=torch.Generator().manual_seed(0))
    >>> round(found.smallest, 3), round(found.largest, 3)
    (1.0, 100.0)
    >>> 0.4 < float(found.weights[found.values > 50].sum()) < 0.6
    True

    References
    ----------
    Goodfellow et al. 2016, §4.3.1 and §8.2 (eigenvalues of the Hessian); Golub & Welsch 1969, Calculation of Gauss
    Quadrature Rules; Lin, Saad & Yang 2016, Approximating Spectral Densities of Large Matrices; Ghorbani, Krishnan &
    Xiao 2019, An Investigation into Neural Net Optimization via Hessian Eigenvalue Density.
    """
    if steps < 1 or probes < 1:
        received = f"steps={steps}, probes={probes}"
        raise SettingError("1 step or more and 1 probe or more", received, "raise it")
    check_vector(like)
    values, weights = [], []
    low, high = (float("inf"), 0.0), (-float("inf"), 0.0)
    with torch.no_grad():
        for _ in range(probes):
            drawn = torch.randn(len(like), generator=generator, device=generator.device).to(like)
            diagonal, beside, left = _lanczos(product, drawn / drawn.norm(), min(steps, len(like)))
            small = torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1)
            nodes, vectors = torch.linalg.eigh(small)
            errors = left * vectors[-1].abs()
            low = min(low, (float(nodes[0]), float(errors[0])))
            high = max(high, (float(nodes[-1]), float(errors[-1])), key=lambda pair: pair[0])
            values.append(nodes)
            weights.append(vectors[0].square() / probes)
    nodes, order = torch.cat(values).sort()
    return Spectrum(nodes, torch.cat(weights)[order], low[0], high[0], low[1], high[1])


def _lanczos(product: Callable[[Vector], Vector], first: Vector, steps: int) -> tuple[Tensor, Tensor, float]:
    """Return the tridiagonal matrix's diagonal and what is beside it, in double precision, and the length left over.

    Every vector is made orthogonal to all before, twice: without that, rounding brings back directions that have
    converged, and eigenvalues appear more often than they are.
    """
    basis = first.new_empty(steps, len(first))
    basis[0] = first
    diagonal, beside = [], []
    size = left = 0.0
    for k in range(steps):
        moved = product(basis[k])
        if moved.shape != first.shape or not bool(moved.isfinite().all()):
            received = f"shape {tuple(moved.shape)}" if moved.shape != first.shape else "infinite or missing ones"
            raise InputError(f"products of {len(first)} finite numbers", received, "check the function at this point")
        diagonal.append(float(basis[k].dot(moved)))
        size = max(size, float(moved.norm()))
        for _ in range(2):
            moved = moved - basis[: k + 1].T @ (basis[: k + 1] @ moved)
        left = float(moved.norm())
        if left <= 10 * torch.finfo(first.dtype).eps * size:  # these directions are mapped among themselves
            left = 0.0
            break
        if k + 1 < steps:
            beside.append(left)
            basis[k + 1] = moved / left
    return torch.tensor(diagonal, dtype=torch.float64), torch.tensor(beside, dtype=torch.float64), left
