"""Monotone rational-quadratic splines: a bijection of an interval whose inverse and derivative have closed forms."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from gradus.networks.heads.base import inverse_softplus

__all__ = ["Knots", "knots_of", "spline", "spline_inverse"]

LEAST = 1e-3  # share of the interval that each bin keeps, and slope that each knot keeps


class Knots(NamedTuple):
    """The corners ``(x_k, y_k)`` of a spline and its slopes there, of shape (..., bins + 1) each."""

    x: Float[Tensor, "*batch knots"]
    y: Float[Tensor, "*batch knots"]
    slope: Float[Tensor, "*batch knots"]


def knots_of(parameters: Float[Tensor, "*batch numbers"], bound: float) -> Knots:
    """Return knots from free numbers; zeros give the identity.

    ``3 K - 1`` numbers make ``K`` bins on ``[-bound, bound]``: widths and heights by a softmax, slopes inside by a
    softplus. At both ends the slope is one, so that the identity goes on smoothly outside.

    Parameters
    ----------
    parameters : Tensor of shape (..., 3 K - 1)
        Any numbers.
    bound : float
        Half the length of the interval.

    Examples
    --------
    >>> knots_of(torch.zeros(5), bound=2.0).x.tolist()
    [-2.0, 0.0, 2.0]
    """
    bins = (parameters.shape[-1] + 1) // 3
    widths, heights, slopes = parameters.split([bins, bins, bins - 1], -1)
    inside = F.softplus(slopes + inverse_softplus(1 - LEAST)) + LEAST
    return Knots(_corners(widths, bound), _corners(heights, bound), F.pad(inside, (1, 1), value=1.0))


def _corners(raw: Tensor, bound: float) -> Tensor:
    shares = LEAST + (1 - LEAST * raw.shape[-1]) * raw.softmax(-1)
    inner = shares[..., :-1].cumsum(-1) * (2 * bound) - bound
    ends = torch.full_like(raw[..., :1], bound)
    return torch.cat([-ends, inner, ends], -1)  # both ends exactly


def _bin(values: Tensor, corners: Tensor) -> Tensor:
    """Return the bin of each value inside the interval."""
    found = torch.searchsorted(corners.contiguous(), values.unsqueeze(-1).contiguous(), right=True) - 1
    return found.clamp(0, corners.shape[-1] - 2)


class _Bins(NamedTuple):
    """What a value's bin is: its lower corner, its width and height, the slopes at both ends."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    right: Tensor


def _picked(knots: Knots, index: Tensor) -> _Bins:
    low = [part.gather(-1, index)[..., 0] for part in knots]
    high = [part.gather(-1, index + 1)[..., 0] for part in knots]
    return _Bins(low[0], low[1], high[0] - low[0], high[1] - low[1], low[2], high[2])


def _log_slope(at: Tensor, bins: _Bins) -> Tensor:
    mean = bins.height / bins.width
    rest = 1 - at
    above = bins.right * at.square() + 2 * mean * at * rest + bins.left * rest.square()
    below = mean + (bins.left + bins.right - 2 * mean) * at * rest
    return 2 * mean.log() + above.log() - 2 * below.log()


def spline(values: Float[Tensor, " *batch"], knots: Knots) -> tuple[Float[Tensor, " *batch"], Float[Tensor, " *batch"]]:
    """Return each value's image and the logarithm of the slope there; outside the interval, the value and zero.

    In a bin of lower corner ``(x, y)``, width ``w``, height ``h``, mean slope ``s = h / w`` and slopes ``d, e`` at its
    ends, with ``t = (value - x) / w``: ``y + h (s t² + d t (1 - t)) / (s + (d + e - 2 s) t (1 - t))``.

    Parameters
    ----------
    values : Tensor of shape (...)
        Numbers.
    knots : Knots
        Of shape (..., bins + 1): a spline for each value.

    Examples
    --------
    >>> image, slope = spline(torch.tensor([0.5, 7.0]), knots_of(torch.zeros(2, 8), bound=3.0))
    >>> image.tolist()
    [0.5, 7.0]

    References
    ----------
    Gregory & Delbourgo 1982; Durkan et al. 2019, Neural Spline Flows, eq. 4-5.
    """
    bound = knots.x[..., -1]
    inside = values.abs() < bound
    safe = torch.where(inside, values, 0.0)
    bins = _picked(knots, _bin(safe, knots.x))
    at = (safe - bins.x) / bins.width
    mean, product = bins.height / bins.width, at * (1 - at)
    over = mean + (bins.left + bins.right - 2 * mean) * product
    image = bins.y + bins.height * (mean * at.square() + bins.left * product) / over
    return torch.where(inside, image, values), torch.where(inside, _log_slope(at, bins), 0.0)


def spline_inverse(images: Float[Tensor, " *batch"], knots: Knots) -> Float[Tensor, " *batch"]:
    """Return the value that `spline` maps to each image: the root of a quadratic equation inside its bin.

    Parameters
    ----------
    images : Tensor of shape (...)
        Numbers.
    knots : Knots
        Of shape (..., bins + 1).

    References
    ----------
    Durkan et al. 2019, Neural Spline Flows, eq. 6-8.
    """
    bound = knots.x[..., -1]
    inside = images.abs() < bound
    safe = torch.where(inside, images, 0.0)
    bins = _picked(knots, _bin(safe, knots.y))
    mean, above = bins.height / bins.width, safe - bins.y
    bend = bins.left + bins.right - 2 * mean
    a = bins.height * (mean - bins.left) + above * bend
    b = bins.height * bins.left - above * bend
    c = -mean * above
    # this form of the root stays exact where a is near zero
    root = 2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())
    return torch.where(inside, bins.x + root * bins.width, images)
