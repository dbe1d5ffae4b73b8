"""Nearest points of convex sets, for projected gradients (§4.4, §7.2).

Of a box it is `torch.clamp`, of nonnegative numbers ``x.clamp(min=0)``; here are those that take more than one call.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import SettingError

__all__ = ["project_l1_ball", "project_l2_ball", "project_simplex"]


def project_l2_ball(x: Float[Tensor, "*batch n"], radius: float = 1.0) -> Float[Tensor, "*batch n"]:
    """Return the nearest point of each vector with ``‖x‖₂ <= radius``; inside, the vector itself to the bit.

    Parameters
    ----------
    x : Tensor of shape (..., n)
        Vectors along the last axis.
    radius : float
        Above 0.

    Raises
    ------
    SettingError
        If the radius is not above 0.

    Examples
    --------
    >>> project_l2_ball(torch.tensor([[3.0, 4.0], [0.5, 0.0]]), 2.5).tolist()
    [[1.5, 2.0], [0.5, 0.0]]

    References
    ----------
    Goodfellow et al. 2016, §7.2.
    """
    _check(radius, "a radius")
    return x * (radius / torch.linalg.vector_norm(x, dim=-1, keepdim=True)).clamp(max=1)


def project_simplex(x: Float[Tensor, "*batch n"], total: float = 1.0) -> Float[Tensor, "*batch n"]:
    """Return the nearest point of each vector with ``x >= 0`` and ``Σ x = total``: probabilities, for 1.

    The answer is ``max(x - τ, 0)``; the threshold τ is found from the sorted entries.

    Parameters
    ----------
    x : Tensor of shape (..., n)
        Vectors along the last axis, of 1 or more entries.
    total : float
        Above 0.

    Raises
    ------
    SettingError
        If the total is not above 0.

    Examples
    --------
    >>> project_simplex(torch.tensor([0.5, 1.0, -3.0])).tolist()
    [0.25, 0.75, 0.0]

    References
    ----------
    Held, Wolfe & Crowder 1974, Validation of Subgradient Optimization; Duchi et al. 2008, Efficient Projections onto
    the l1-Ball for Learning in High Dimensions, figure 1.
    """
    _check(total, "a total")
    falling = x.sort(dim=-1, descending=True).values
    count = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    thresholds = (falling.cumsum(-1) - total) / count
    kept = (falling > thresholds).sum(-1, keepdim=True)  # these are the first ones
    return (x - thresholds.gather(-1, kept - 1)).clamp(min=0)


def project_l1_ball(x: Float[Tensor, "*batch n"], radius: float = 1.0) -> Float[Tensor, "*batch n"]:
    """Return the nearest point of each vector with ``Σ |x| <= radius``: small entries become exactly zero.

    Parameters
    ----------
    x : Tensor of shape (..., n)
        Vectors along the last axis, of 1 or more entries.
    radius : float
        Above 0.

    Raises
    ------
    SettingError
        If the radius is not above 0.

    Examples
    --------
    >>> project_l1_ball(torch.tensor([[-2.0, 1.0, 0.25], [0.5, 0.0, 0.25]])).tolist()
    [[-1.0, 0.0, 0.0], [0.5, 0.0, 0.25]]

    References
    ----------
    Goodfellow et al. 2016, §7.1.2 and §7.2; Duchi et al. 2008, figure 2.
    """
    _check(radius, "a radius")
    inside = x.abs().sum(-1, keepdim=True) <= radius
    return torch.where(inside, x, x.sign() * project_simplex(x.abs(), radius))


def _check(value: float, what: str) -> None:
    if not 0 < value < float("inf"):
        raise SettingError(f"{what} above 0", str(value), "set for example 1.0")
