"""Maximum mean discrepancy: how far apart two sets of points are, by the means of everything a kernel can see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError

__all__ = ["median_distance", "mmd_squared", "mmd_unbiased", "polynomial_kernel", "rbf_mixture"]

MEDIAN_ROWS = 1000
Kernel = Callable[[Tensor, Tensor], Tensor]


def squared_distances(first: Float[Tensor, "n width"], second: Float[Tensor, "m width"]) -> Float[Tensor, "n m"]:
    """Return ``‖a_i - b_j‖²``, by one matrix product; never negative."""
    return (first.square().sum(1, keepdim=True) + second.square().sum(1) - 2 * first @ second.T).clamp_min(
        0
    )  # rounding leaves some below zero


def median_distance(rows: Float[Tensor, "n width"]) -> float:
    """Return the median Euclidean distance between different rows: the bandwidth of the usual heuristic.

    Parameters
    ----------
    rows : Tensor of shape (n, width)
        Of more than 1,000 rows, 1,000 evenly spaced ones are compared.

    Examples
    --------
    >>> median_distance(torch.tensor([[0.0], [1.0], [3.0]]))
    2.0

    References
    ----------
    Gretton et al. 2012, A Kernel Two-Sample Test, §8.
    """
    if len(rows) > MEDIAN_ROWS:
        rows = rows[torch.linspace(0, len(rows) - 1, MEDIAN_ROWS).long()]
    if len(rows) < 2:
        return 1.0
    found = torch.pdist(rows.double())
    positive = found[found > 0]
    return float(positive.median()) if len(positive) else 1.0


def rbf_mixture(bandwidths: Float[Tensor, " kernels"] | Sequence[float]) -> Kernel:
    """Return ``k(a, b) = (1/K) Σ_s exp(-‖a - b‖² / (2 s²))`` over the bandwidths ``s``.

    Examples
    --------
    >>> rbf_mixture([1.0])(torch.zeros(1, 2), torch.tensor([[1.0, 1.0]])).item() == torch.tensor(-1.0).exp().item()
    True
    """
    scales = torch.as_tensor(bandwidths)

    def kernel(first: Tensor, second: Tensor) -> Tensor:
        squares = squared_distances(first, second)
        total = torch.zeros_like(squares)
        for scale in scales.to(squares):
            total = total + torch.exp(squares * (-0.5 / scale.square()))
        return total / len(scales)

    return kernel


def polynomial_kernel(first: Float[Tensor, "n width"], second: Float[Tensor, "m width"]) -> Float[Tensor, "n m"]:
    """Return ``(a · b / width + 1)³``, the kernel of the kernel Inception distance.

    References
    ----------
    Bińkowski et al. 2018, Demystifying MMD GANs, §4.
    """
    return (first @ second.T / first.shape[1] + 1) ** 3


def mmd_squared(first: Float[Tensor, "n width"], second: Float[Tensor, "m width"], kernel: Kernel) -> Float[Tensor, ""]:
    """Return ``mean k(a, a') + mean k(b, b') - 2 mean k(a, b)`` over all pairs: never negative, and biased upwards.

    Parameters
    ----------
    first, second : Tensor of shape (n, width) and (m, width)
        Points.
    kernel : callable
        ``(points, points) -> Tensor`` of shape (n, m).

    Examples
    --------
    >>> points = torch.tensor([[0.0], [2.0]])
    >>> mmd_squared(points, points, rbf_mixture([1.0])).item()
    0.0

    References
    ----------
    Gretton et al. 2012, eq. 5; Goodfellow et al. 2016, §20.10.5.
    """
    return kernel(first, first).mean() + kernel(second, second).mean() - 2 * kernel(first, second).mean()


def mmd_unbiased(
    first: Float[Tensor, "n width"], second: Float[Tensor, "m width"], kernel: Kernel
) -> Float[Tensor, ""]:
    """Return the same without pairs of a point with itself: zero on average where the distributions are equal.

    Raises
    ------
    InputError
        If a side has fewer than two points.

    References
    ----------
    Gretton et al. 2012, eq. 3.
    """
    n, m = len(first), len(second)
    if min(n, m) < 2:
        raise InputError("two points or more on each side", f"{n} and {m}", "pass more rows")
    within, among = kernel(first, first), kernel(second, second)
    left = (within.sum() - within.diagonal().sum()) / (n * (n - 1))
    right = (among.sum() - among.diagonal().sum()) / (m * (m - 1))
    return left + right - 2 * kernel(first, second).mean()
