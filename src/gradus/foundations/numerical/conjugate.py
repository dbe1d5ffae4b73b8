"""Conjugate gradients: for linear systems, and for functions that are no quadratics (§8.6.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from gradus.core.errors import InputError, SettingError
from gradus.foundations.numerical.line_search import wolfe
from gradus.foundations.numerical.points import Function, Point, StepInfo, Vector, check_vector, first_point

__all__ = [
    "ConjugateGradients",
    "NonlinearCGState",
    "conjugate_gradients",
    "nonlinear_cg_init",
    "nonlinear_cg_step",
]


class ConjugateGradients(NamedTuple):
    """What `conjugate_gradients` found.

    Attributes
    ----------
    solution : Tensor of shape (n,)
        ``x`` with ``A x ≈ b``.
    iterations : int
        Products with ``A``.
    value : float
        ``xᵀ A x / 2 - bᵀ x``, which every iteration lowers.
    """

    solution: Vector
    iterations: int
    value: float


def conjugate_gradients(
    product: Callable[[Vector], Vector],
    target: Vector,
    *,
    start: Vector | None = None,
    precondition: Callable[[Vector], Vector] | None = None,
    iterations: int = 50,
    tolerance: float = 5e-4,
) -> ConjugateGradients:
    """Solve ``A x = b`` for a symmetric positive definite ``A`` that is known by its products with vectors.

    Every direction is conjugate to those before, ``dᵀ A d' = 0``, so that no step undoes another: without rounding it
    ends in as many steps as ``A`` has different eigenvalues. The error falls by ``(√κ - 1) / (√κ + 1)`` a step or
    faster, where κ is the condition number, which a preconditioner lowers.

    Parameters
    ----------
    product : callable
        ``v -> A v``.
    target : Tensor of shape (n,)
        ``b``.
    start : Tensor of shape (n,), optional
        First guess; zero by default.
    precondition : callable, optional
        ``v -> M⁻¹ v`` with a symmetric positive definite ``M`` near ``A`` that is easy to invert, such as its diagonal.
    iterations : int
        Most products, 1 or more.
    tolerance : float
        Ends when the last tenth of the iterations (ten at least) lowered ``xᵀAx/2 - bᵀx`` by less than this share an
        iteration; 0 goes on to the end, or until ``b`` is met.

    Returns
    -------
    ConjugateGradients

    Raises
    ------
    InputError
        If ``b`` is no vector of finite floating-point numbers, or a product has another shape.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> A = torch.tensor([[4.0, 1.0], [1.0, 3.0]])
    >>> conjugate_gradients(lambda v: A @ v, torch.tensor([1.0, 2.0])).solution.mul(11).round().tolist()
    [1.0, 7.0]

    References
    ----------
    Goodfellow et al. 2016, §8.6.2, algorithm 8.9; Nocedal & Wright 2006, algorithm 5.3; Martens 2010, Deep Learning via
    Hessian-free Optimization, §4.4.
    """
    if iterations < 1 or not tolerance >= 0:
        raise SettingError("1 iteration or more and a tolerance of 0 or more", f"{iterations}, {tolerance}", "raise it")
    check_vector(target)
    x = torch.zeros_like(target) if start is None else start.clone()
    residual = target.clone()
    if start is not None:
        residual = target - _fitting(product(x), target)
    used = int(start is not None)
    near = residual if precondition is None else precondition(residual)
    direction, squared = near.clone(), residual.dot(near)
    smallest = torch.finfo(target.dtype).eps ** 2 * target.dot(target)
    values: list[float] = []
    for _ in range(iterations):
        if residual.dot(residual) <= smallest:
            break
        curved = _fitting(product(direction), target)
        used += 1
        curvature = direction.dot(curved)
        if curvature <= 0:  # rounding, or a matrix that is not positive definite: no lower point along here
            break
        size = squared / curvature
        x = x + size * direction
        residual = residual - size * curved
        near = residual if precondition is None else precondition(residual)
        after = residual.dot(near)
        direction = near + (after / squared) * direction
        squared = after
        values.append(float(-0.5 * (x.dot(target + residual))))
        back = max(10, len(values) // 10)
        if len(values) > back and values[-1] < 0:
            if (values[-1 - back] - values[-1]) / abs(values[-1]) < back * tolerance:
                break
    return ConjugateGradients(x, used, float(-0.5 * x.dot(target + residual)))


def _fitting(found: Vector, target: Vector) -> Vector:
    if found.shape != target.shape:
        mend = "pass the products of a square matrix"
        raise InputError(f"a product of shape {tuple(target.shape)}", str(tuple(found.shape)), mend)
    return found


class NonlinearCGState(NamedTuple):
    """Where nonlinear conjugate gradients are.

    Attributes
    ----------
    point : Point
        The vector, with value and gradient there.
    direction : Tensor of shape (n,)
        Along which the next step goes.
    first : float
        Length that its line search tries first.
    """

    point: Point
    direction: Vector
    first: float


def nonlinear_cg_init(function: Function, vector: Vector) -> NonlinearCGState:
    """Return the state at a vector.

    Parameters
    ----------
    function : callable
        ``vector -> one number``, differentiable by torch.
    vector : Tensor of shape (n,)
        Where to begin; float64 reaches small gradients.

    Raises
    ------
    InputError
        If the vector or the function is none, or not finite there.

    Examples
    --------
    >>> nonlinear_cg_init(lambda x: x.square().sum(), torch.tensor([3.0, 4.0])).direction
    tensor([-6., -8.])
    """
    point = first_point(function, vector)
    return NonlinearCGState(point, -point.gradient, _short(point.gradient))


def _short(gradient: Vector) -> float:
    """Return a first length for steepest descent: nothing is known of the scale, so the step is 1 long at most."""
    length = float(gradient.norm())
    return min(1.0, 1 / length) if length > 0 else 1.0


def nonlinear_cg_step(
    state: NonlinearCGState, function: Function, *, decrease: float = 1e-4, curvature: float = 0.1
) -> tuple[NonlinearCGState, StepInfo]:
    """Take one step: a line search, then the next direction ``d ← -g + β d``.

    ``β = max(0, gᵀ (g - g_before) / ‖g_before‖²)``, of Polak and Ribière, never below zero: where little was gained it
    begins again with steepest descent.

    Parameters
    ----------
    state : NonlinearCGState
        Where to start.
    function : callable
        As in :func:`nonlinear_cg_init`.
    decrease, curvature
        Of the line search, :func:`wolfe`. A careful one is needed for directions to stay conjugate.

    Returns
    -------
    state : NonlinearCGState
        After the step.
    info : StepInfo
        What it did.

    Examples
    --------
    >>> f = lambda x: (x[0] - 1) ** 2 + 10 * (x[1] + 2) ** 2
    >>> state = nonlinear_cg_init(f, torch.zeros(2, dtype=torch.float64))
    >>> for _ in range(4):
    ...     state, info = nonlinear_cg_step(state, f)
    >>> state.point.vector.round(decimals=4).tolist()
    [1.0, -2.0]

    References
    ----------
    Goodfellow et al. 2016, §8.6.2, eq. 8.30; Nocedal & Wright 2006, algorithm 5.4, eq. 5.44-5.45.
    """
    point, direction = state.point, state.direction
    before = point.gradient
    if not bool(before.any()):
        return state, StepInfo(point.value, 0.0, 0.0, 0)
    search = wolfe(function, point, direction, first=state.first, decrease=decrease, curvature=curvature)
    used = search.evaluations
    if search.size == 0 and not torch.equal(direction, -before):  # the memory misled: once more without it
        direction = -before
        search = wolfe(function, point, direction, first=_short(before), decrease=decrease, curvature=curvature)
        used += search.evaluations
    after = search.point.gradient
    beta = (after.dot(after - before) / before.dot(before)).clamp_min(0)
    ahead = -after + beta * direction
    if search.size == 0 or not after.dot(ahead) < 0:
        ahead = -after
    # The change of the value to first order is taken to be what it was in the step before.
    foretold = search.size * float(before.dot(direction)) / (float(after.dot(ahead)) or 1.0)
    first = foretold if search.size > 0 and foretold > 0 else _short(after)
    info = StepInfo(search.point.value, float(after.abs().max()), search.size, used)
    return NonlinearCGState(search.point, ahead, first), info
