"""Newton's method inside a region of trust, which leaves saddle points (§4.3.1, §8.6.1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradus.core.errors import SettingError
from gradus.foundations.numerical.line_search import ROUNDING
from gradus.foundations.numerical.points import Function, Point, Vector, evaluate, first_point

__all__ = ["NewtonInfo", "NewtonState", "newton_init", "newton_step"]


class NewtonState(NamedTuple):
    """Where Newton's method is.

    Attributes
    ----------
    point : Point
        The vector, with value and gradient there.
    radius : float
        How far the quadratic model is trusted, in the vector's units.
    """

    point: Point
    radius: float


class NewtonInfo(NamedTuple):
    """What one step did: as `StepInfo`, and the Hessian's smallest eigenvalue where it began, ``curvature``."""

    value: float
    residual: float
    size: float
    evaluations: int
    curvature: float


def newton_init(function: Function, vector: Vector, *, radius: float = 1.0) -> NewtonState:
    """Return the state at a vector.

    Parameters
    ----------
    function : callable
        ``vector -> one number``, twice differentiable by torch.
    vector : Tensor of shape (n,)
        Where to begin; float64 reaches small gradients.
    radius : float
        Longest first step, above 0, in the vector's units; it adapts.

    Raises
    ------
    InputError
        If the vector or the function is none, or not finite there.
    SettingError
        If the radius is not above 0.

    Examples
    --------
    >>> newton_init(lambda x: x.square().sum(), torch.tensor([3.0, 4.0])).radius
    1.0
    """
    if not 0 < radius < float("inf"):
        raise SettingError("a radius above 0", f"radius={radius}", "set for example radius=1.0")
    return NewtonState(first_point(function, vector), radius)


def newton_step(state: NewtonState, function: Function) -> tuple[NewtonState, NewtonInfo]:
    """Minimize the quadratic model within the region of trust, and move there if the function falls as well.

    ``min_d  gᵀ d + dᵀ H d / 2`` with ``‖d‖ <= radius``, solved exactly from the Hessian's eigenvalues:
    ``d = -(H + μ I)⁻¹ g`` with the least ``μ >= 0`` for which ``H + μ I`` is positive semidefinite and ``d`` is short
    enough. Where that is 0, it is Newton's step. Along negative curvature it goes to the edge of the region, even
    from a saddle point, where the gradient is zero. Shorter steps are tried until one lowers the function.

    Parameters
    ----------
    state : NewtonState
        Where to start.
    function : callable
        As in :func:`newton_init`. Each step forms the Hessian and its eigenvalues, work that grows with n³.

    Returns
    -------
    state : NewtonState
        After the step.
    info : NewtonInfo
        What it did; the Hessian is not among the evaluations.

    Examples
    --------
    >>> saddle = lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4
    >>> state = newton_init(saddle, torch.zeros(2, dtype=torch.float64))  # gradient descent would stay for ever
    >>> for _ in range(8):
    ...     state, info = newton_step(state, saddle)
    >>> round(info.value, 6), round(abs(state.point.vector[1].item()), 4)
    (-0.25, 0.7071)

    References
    ----------
    Goodfellow et al. 2016, §4.3.1, eq. 4.12; §8.2.3 and §8.6.1, algorithm 8.8 (saddle points, damping); Moré &
    Sorensen 1983, Computing a Trust Region Step; Nocedal & Wright 2006, algorithms 4.1 and 4.3.
    """
    point, radius = state.point, state.radius
    hessian = torch.autograd.functional.hessian(function, point.vector)
    hessian = hessian.reshape(len(point.vector), -1)
    values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
    slopes = vectors.T @ point.gradient
    precision = torch.finfo(point.vector.dtype).eps
    shortest = precision * max(1.0, float(point.vector.norm()))
    used = 0
    residual = float(point.gradient.abs().max())
    while True:
        inside = _within(values, slopes, radius)
        length = float(inside.norm())
        foretold = float(slopes.dot(inside) + 0.5 * inside.square().dot(values))
        if length <= shortest or not foretold < 0:
            return NewtonState(point, radius), NewtonInfo(point.value, residual, 0.0, used, float(values[0]))
        trial = evaluate(function, point.vector + vectors @ inside)
        used += 1
        ratio = (trial.value - point.value) / foretold if trial.finite else -1.0
        after = float(trial.gradient.abs().max())
        if trial.finite and -foretold <= ROUNDING * precision * abs(point.value):  # rounding hides the change
            ratio = 1.0 if after < residual else -1.0
        if ratio < 0.25:
            radius = 0.25 * length
        elif ratio > 0.75 and length > 0.99 * radius:
            radius = 2 * radius
        if ratio > 1e-4:
            return NewtonState(trial, radius), NewtonInfo(trial.value, after, length, used, float(values[0]))


def _within(values: Tensor, slopes: Tensor, radius: float) -> Tensor:
    """Return the lowest point of ``Σ s y + v y² / 2`` with ``‖y‖ <= radius``, for rising ``v``.

    The shift is counted from the smallest eigenvalue, ``μ + v₁``, so that it keeps its precision where it is tiny.
    """
    least = float(values[0])
    if least > 0:
        inside = -slopes / values
        if float(inside.norm()) <= radius:
            return inside
    gaps = values - least

    def at(shift: float) -> Tensor:
        return torch.where(slopes == 0, 0.0, -slopes / (gaps + shift))

    # ‖y‖ falls as the shift grows; here it is still as long as the radius, or longer, unless this is the hard case.
    shift = max(float((slopes.abs() / radius - gaps).max()), least, 0.0)
    inside = at(shift)
    if shift == 0 and float(inside.norm()) < radius:  # nothing pulls along the lowest curvature
        if least < 0:  # either way along it is down
            inside = inside.clone()
            inside[0] = (radius**2 - float(inside.square().sum())) ** 0.5
        return inside
    for _ in range(50):  # Newton's method on 1/‖y‖ = 1/radius, which is nearly a straight line, from the left
        length = float(inside.norm())
        if length <= radius * (1 + 1e-6):
            break
        fall = float(torch.where(slopes == 0, 0.0, inside.square() / (gaps + shift)).sum())
        shift += (length / radius - 1) * length**2 / fall
        inside = at(shift)
    return inside
