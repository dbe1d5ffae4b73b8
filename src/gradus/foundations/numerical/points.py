"""A function's value and gradient at a point, what a step reports, and the loop around steps."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.foundations.numerical.products import check_scalar

__all__ = ["Function", "Outcome", "Point", "StepInfo", "Vector", "check_vector", "evaluate", "first_point", "minimize"]

Vector = Float[Tensor, " n"]
Function = Callable[[Tensor], Tensor]
State = TypeVar("State")


class Point(NamedTuple):
    """A point with a function's value and gradient there.

    Attributes
    ----------
    vector : Tensor of shape (n,)
        Where.
    value : float
        The function's value.
    gradient : Tensor of shape (n,)
        Its gradient.
    """

    vector: Vector
    value: float
    gradient: Vector

    @property
    def finite(self) -> bool:
        """Whether value and gradient are numbers."""
        return isfinite(self.value) and bool(self.gradient.isfinite().all())


class StepInfo(NamedTuple):
    """What one step of a minimizer did.

    Attributes
    ----------
    value : float
        The function after it.
    residual : float
        What is left to be made zero: the largest component of the gradient; with constraints, as the method says.
    size : float
        Length taken along the direction of search, or of the step in Newton's method; 0 where no lower point was
        found, which near a minimum means that rounding hides it.
    evaluations : int
        Values with gradients computed.
    """

    value: float
    residual: float
    size: float
    evaluations: int


def evaluate(function: Function, vector: Vector) -> Point:
    """Return a function's value and gradient at a vector.

    Parameters
    ----------
    function : callable
        ``vector -> one number``, differentiable by torch.
    vector : Tensor of shape (n,)
        Where.

    Returns
    -------
    Point
        The vector, the value, and the gradient in the vector's dtype and on its device.

    Raises
    ------
    InputError
        If the function returns more than one number, or one that does not depend on the vector.

    Examples
    --------
    >>> evaluate(lambda x: x.square().sum(), torch.tensor([1.0, -3.0]))
    Point(vector=tensor([ 1., -3.]), value=10.0, gradient=tensor([ 2., -6.]))
    """
    with torch.enable_grad():
        leaf = vector.detach().requires_grad_()
        value = function(leaf)
        check_scalar(value)
        if not value.requires_grad:
            mend = "compute it by torch operations, without detach, item or no_grad"
            raise InputError("a value that depends on the vector", "one without a gradient", mend)
        (gradient,) = torch.autograd.grad(value, leaf, torch.ones_like(value), materialize_grads=True)
    return Point(vector.detach(), float(value.detach()), gradient)


def check_vector(vector: Tensor) -> None:
    """Refuse what is no vector of finite floating-point numbers."""
    if not isinstance(vector, Tensor) or vector.ndim != 1 or not vector.is_floating_point() or not len(vector):
        received = type(vector).__name__
        if isinstance(vector, Tensor):
            received = f"shape {tuple(vector.shape)} of {vector.dtype}"
        raise InputError(
            "a vector of floating-point numbers", received, "flatten and convert it, as x.flatten().double()"
        )
    if not bool(vector.isfinite().all()):
        raise InputError("finite numbers in the vector", "infinite or missing ones", "replace them")


def first_point(function: Function, vector: Vector) -> Point:
    """Return the point where a search begins, after a look at it."""
    check_vector(vector)
    point = evaluate(function, vector.clone())
    if not point.finite:
        received = f"the value {point.value:g}"
        if isfinite(point.value):
            received += " with a gradient that is not finite"
        raise InputError("a finite value and gradient at the start", received, "start elsewhere")
    return point


class _Told(Protocol):
    """What the loop reads of a step's information."""

    @property
    def residual(self) -> float: ...
    @property
    def size(self) -> float: ...
    @property
    def evaluations(self) -> int: ...


class Outcome(NamedTuple):
    """How `minimize` ended: steps and evaluations used, the last residual, and whether it met the tolerance."""

    steps: int
    evaluations: int
    residual: float
    converged: bool


def minimize(
    step: Callable[[State], tuple[State, _Told | Any]],
    state: State,
    *,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
) -> tuple[State, Outcome]:
    """Take steps until the residual is small, no step is found, or there were enough.

    Parameters
    ----------
    step : callable
        ``state -> (state, info)``, such as ``lambda state: lbfgs_step(state, function)``.
    state : NamedTuple
        Where to begin, of the method's ``init``.
    tolerance : float
        Largest residual to stop at, 0 or more, in the gradient's units.
    max_steps : int
        1 or more.

    Returns
    -------
    state : NamedTuple
        Where the last step led.
    outcome : Outcome
        How it ended.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> from gradus.foundations.numerical import lbfgs_init, lbfgs_step
    >>> def valley(x):
    ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> start = lbfgs_init(valley, torch.tensor([-1.2, 1.0], dtype=torch.float64))
    >>> state, outcome = minimize(lambda state: lbfgs_step(state, valley), start)
    >>> state.point.vector.round(decimals=6).tolist(), outcome.converged
    ([1.0, 1.0], True)
    """
    if not tolerance >= 0 or max_steps < 1:
        received = f"tolerance={tolerance}, max_steps={max_steps}"
        raise SettingError("a tolerance of 0 or more, and 1 step or more", received, "correct it")
    steps, evaluations = 0, 0
    while True:
        state, info = step(state)
        steps, evaluations = steps + 1, evaluations + info.evaluations
        if info.residual <= tolerance or info.size == 0 or steps == max_steps:
            return state, Outcome(steps, evaluations, info.residual, info.residual <= tolerance)
