"""Minimization under constraints (§4.4): projected gradients, the augmented Lagrangian, and the test of an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.foundations.numerical.line_search import armijo
from gradus.foundations.numerical.points import (
    Function,
    Point,
    StepInfo,
    Vector,
    check_vector,
    evaluate,
    first_point,
    minimize,
)
from gradus.foundations.numerical.quasi_newton import LBFGSState, lbfgs_init, lbfgs_step

__all__ = [
    "AugmentedLagrangianInfo",
    "AugmentedLagrangianState",
    "KKTResidual",
    "ProjectedGradientState",
    "augmented_lagrangian_init",
    "augmented_lagrangian_step",
    "kkt_residual",
    "projected_gradient_init",
    "projected_gradient_step",
]

Projection = Callable[[Tensor], Tensor]
Constraints = Callable[[Tensor], Tensor]
Multipliers = Float[Tensor, " constraints"]

# A penalty larger than this leaves no digits for the function itself.
LARGEST_PENALTY = 1e10
# Violations that grow by this factor: the penalty is too low to keep the function from falling for ever.
RUNAWAY = 1e3


class ProjectedGradientState(NamedTuple):
    """Where projected gradient descent is.

    Attributes
    ----------
    point : Point
        A vector of the set, with value and gradient there.
    length : float
        Step along the gradient that is projected next.
    """

    point: Point
    length: float


def projected_gradient_init(function: Function, vector: Vector, project: Projection) -> ProjectedGradientState:
    """Return the state at the nearest point of the set.

    Parameters
    ----------
    function : callable
        ``vector -> one number``, differentiable by torch.
    vector : Tensor of shape (n,)
        Where to begin.
    project : callable
        ``vector -> `` the nearest point of a closed convex set, such as :func:`project_simplex` or
        ``lambda x: x.clamp(0, 1)``.

    Raises
    ------
    InputError
        If the vector or the function is none, or not finite there.

    Examples
    --------
    >>> state = projected_gradient_init(lambda x: x.square().sum(), torch.tensor([-3.0, 4.0]), lambda x: x.clamp(min=0))
    >>> state.point.vector
    tensor([0., 4.])
    """
    check_vector(vector)
    point = first_point(function, project(vector))
    steepest = float((project(point.vector - point.gradient) - point.vector).abs().max())
    return ProjectedGradientState(point, min(1.0, 1 / steepest) if steepest > 0 else 1.0)


def projected_gradient_step(
    state: ProjectedGradientState, function: Function, project: Projection
) -> tuple[ProjectedGradientState, StepInfo]:
    """Go down the gradient, back into the set, and search between where it began and where that led.

    ``d = P(x - α ∇f) - x`` leads downhill, and all of the way lies in the set. The length α is ``sᵀs / sᵀy`` of the
    last step ``s``, which changed the gradient by ``y``: an eigenvalue of the inverse Hessian along it.

    Parameters
    ----------
    state : ProjectedGradientState
        Where to start.
    function, project
        As in :func:`projected_gradient_init`.

    Returns
    -------
    state : ProjectedGradientState
        After the step.
    info : StepInfo
        What it did; ``residual`` is the largest component of ``P(x - ∇f) - x``, zero where the answer is.

    Examples
    --------
    >>> f = lambda x: (x - torch.tensor([2.0, 0.3])).square().sum()
    >>> box = lambda x: x.clamp(0, 1)
    >>> state, info = projected_gradient_step(projected_gradient_init(f, torch.zeros(2), box), f, box)
    >>> state, info = projected_gradient_step(state, f, box)
    >>> state.point.vector.round(decimals=3).tolist()
    [1.0, 0.30000001192092896]

    References
    ----------
    Goodfellow et al. 2016, §4.4; Birgin, Martínez & Raydan 2000, Nonmonotone Spectral Projected Gradient Methods on
    Convex Sets (SPG2, kept monotone).
    """
    point = state.point
    direction = project(point.vector - state.length * point.gradient) - point.vector
    if not float(direction.dot(point.gradient)) < 0:
        return state, StepInfo(point.value, _outside(point, project), 0.0, 0)
    search = armijo(function, point, direction)
    step, change = search.point.vector - point.vector, search.point.gradient - point.gradient
    bend = float(step.dot(change))
    length = float(step.dot(step)) / bend if bend > 0 else 10 * state.length
    info = StepInfo(search.point.value, _outside(search.point, project), search.size, search.evaluations)
    return ProjectedGradientState(search.point, min(max(length, 1e-10), 1e10)), info


def _outside(point: Point, project: Projection) -> float:
    return float((project(point.vector - point.gradient) - point.vector).abs().max())


class KKTResidual(NamedTuple):
    """How far a point is from meeting the Karush-Kuhn-Tucker conditions; all zero at a solution.

    Attributes
    ----------
    stationarity : float
        Largest component of the Lagrangian's gradient.
    feasibility : float
        Largest violation of a constraint.
    sign : float
        Largest negative multiplier of an inequality, in size.
    complementarity : float
        Largest product of an inequality's multiplier and its distance from zero.
    """

    stationarity: float
    feasibility: float
    sign: float
    complementarity: float

    @property
    def worst(self) -> float:
        """The largest of the four."""
        return max(self)


def kkt_residual(
    function: Function,
    vector: Vector,
    *,
    equality: Constraints | None = None,
    inequality: Constraints | None = None,
    equality_multipliers: Multipliers | None = None,
    inequality_multipliers: Multipliers | None = None,
) -> KKTResidual:
    """Measure the Karush-Kuhn-Tucker conditions: necessary for a minimum, and sufficient where all is convex.

    ``∇f + Σ λ ∇g + Σ α ∇h = 0``, ``g = 0``, ``h <= 0``, ``α >= 0``, ``α h = 0``.

    Parameters
    ----------
    function : callable
        ``vector -> one number``.
    vector : Tensor of shape (n,)
        Where.
    equality, inequality : callable, optional
        ``vector -> `` the values ``g``, wanted zero, and ``h``, wanted zero or below: the book's letters.
    equality_multipliers, inequality_multipliers : Tensor of shape (constraints,), optional
        ``λ`` and ``α``; one for each constraint.

    Returns
    -------
    KKTResidual

    Raises
    ------
    InputError
        If there is not one multiplier for each constraint.

    Examples
    --------
    >>> nearest = torch.tensor([0.6, 0.8])  # of the unit disc to (3, 4): λ = 4 pulls back as hard as 8 pull away
    >>> kkt_residual(
    ...     lambda x: (x - torch.tensor([3.0, 4.0])).square().sum(),
    ...     nearest,
    ...     inequality=lambda x: x.square().sum() - 1,
    ...     inequality_multipliers=torch.tensor([4.0]),
    ... ).worst < 1e-5
    True

    References
    ----------
    Goodfellow et al. 2016, §4.4, eq. 4.14-4.19.
    """
    check_vector(vector)
    g, h = _values(equality, vector), _values(inequality, vector)
    given = {"equality": (equality_multipliers, g), "inequality": (inequality_multipliers, h)}
    for name, (multipliers, values) in given.items():
        count = 0 if multipliers is None else multipliers.numel()
        if count != len(values):
            mend = f"pass {name}_multipliers and {name} together, of the same length"
            raise InputError(f"one multiplier for each of {len(values)} values of {name}", str(count), mend)

    def lagrangian(x: Tensor) -> Tensor:
        value = function(x)
        if equality is not None and equality_multipliers is not None:
            value = value + equality_multipliers.flatten().dot(equality(x).flatten())
        if inequality is not None and inequality_multipliers is not None:
            value = value + inequality_multipliers.flatten().dot(inequality(x).flatten())
        return value

    slope = evaluate(lagrangian, vector).gradient
    alpha = torch.zeros_like(h) if inequality_multipliers is None else inequality_multipliers.flatten()
    return KKTResidual(
        _largest(slope), _violation(equality, inequality, vector), _largest(alpha.clamp(max=0)), _largest(alpha * h)
    )


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _violation(equality: Constraints | None, inequality: Constraints | None, vector: Vector) -> float:
    """Return how far the worst constraint is from being met."""
    return max(_largest(_values(equality, vector)), _largest(_values(inequality, vector).clamp(min=0)))


def _values(constraints: Constraints | None, vector: Vector) -> Multipliers:
    if constraints is None:
        return vector.new_zeros(0)
    with torch.no_grad():
        return constraints(vector).flatten()


class AugmentedLagrangianState(NamedTuple):
    """Where the augmented Lagrangian's method is.

    Attributes
    ----------
    vector : Tensor of shape (n,)
        The point.
    equality_multipliers, inequality_multipliers : Tensor of shape (constraints,)
        The book's ``λ`` and ``α``.
    penalty : float
        Weight of squared violations, halved.
    violation : float
        Largest violation, or slack that a multiplier contradicts, after the last step.
    """

    vector: Vector
    equality_multipliers: Multipliers
    inequality_multipliers: Multipliers
    penalty: float
    violation: float


class AugmentedLagrangianInfo(NamedTuple):
    """What one step did.

    Attributes
    ----------
    value : float
        The function after it, without penalties.
    kkt : KKTResidual
        How far the new point and multipliers are from a solution.
    residual : float
        The largest of these.
    size : float
        How far the point, the multipliers and the penalty moved, together.
    evaluations : int
        Values with gradients of the function and all constraints.
    """

    value: float
    kkt: KKTResidual
    residual: float
    size: float
    evaluations: int


def augmented_lagrangian_init(
    function: Function,
    vector: Vector,
    *,
    equality: Constraints | None = None,
    inequality: Constraints | None = None,
    penalty: float = 10.0,
) -> AugmentedLagrangianState:
    """Return the state at a vector, which need not meet the constraints, with all multipliers zero.

    Parameters
    ----------
    function : callable
        ``vector -> one number``, differentiable by torch.
    vector : Tensor of shape (n,)
        Where to begin; float64 reaches small residuals.
    equality, inequality : callable, optional
        ``vector -> `` values wanted zero, or zero and below, differentiable by torch; one of the two or both.
    penalty : float
        First weight of squared violations, above 0; it rises where they fall slowly.

    Raises
    ------
    InputError
        If the vector or the function is none, or something is not finite there, or there is no constraint.
    SettingError
        If the penalty is not above 0.

    Examples
    --------
    >>> f = lambda x: x.square().sum()
    >>> augmented_lagrangian_init(f, torch.zeros(2), equality=lambda x: x.sum() - 1).equality_multipliers
    tensor([0.])
    """
    if not 0 < penalty <= LARGEST_PENALTY:
        raise SettingError(f"a penalty above 0, up to {LARGEST_PENALTY:g}", str(penalty), "set for example penalty=10")
    vector = first_point(function, vector).vector
    g, h = _values(equality, vector), _values(inequality, vector)
    if not len(g) + len(h):
        raise InputError("a constraint", "none", "pass equality or inequality, or use lbfgs_step")
    if not bool(torch.cat([g, h]).isfinite().all()):
        raise InputError("finite constraints at the start", "infinite or missing values", "start elsewhere")
    return AugmentedLagrangianState(vector, torch.zeros_like(g), torch.zeros_like(h), penalty, float("inf"))


def augmented_lagrangian_step(
    state: AugmentedLagrangianState,
    function: Function,
    *,
    equality: Constraints | None = None,
    inequality: Constraints | None = None,
    tolerance: float = 1e-8,
    max_steps: int = 500,
) -> tuple[AugmentedLagrangianState, AugmentedLagrangianInfo]:
    """Minimize the augmented Lagrangian by L-BFGS, then move the multipliers.

    ``f + λᵀ g + ρ/2 ‖g‖² + 1/(2ρ) Σ (max(0, α + ρ h)² - α²)``, then ``λ ← λ + ρ g`` and ``α ← max(0, α + ρ h)``: at the
    new multipliers the Lagrangian's gradient is zero where that of the augmented one was. The penalty ρ rises tenfold
    where violations did not fall to a quarter; it need not go to infinity, as it must without multipliers. Where the
    augmented function falls for ever because the penalty is too low, only the penalty moves.

    Parameters
    ----------
    state : AugmentedLagrangianState
        Where to start.
    function, equality, inequality
        As in :func:`augmented_lagrangian_init`.
    tolerance : float
        Largest component of the gradient at which the inner minimization stops, 0 or more.
    max_steps : int
        Most inner steps, 1 or more.

    Returns
    -------
    state : AugmentedLagrangianState
        After the step.
    info : AugmentedLagrangianInfo
        What it did.

    Examples
    --------
    >>> f, g = lambda x: x.square().sum(), lambda x: x.sum() - 1
    >>> state = augmented_lagrangian_init(f, torch.zeros(2, dtype=torch.float64), equality=g)
    >>> for _ in range(8):
    ...     state, info = augmented_lagrangian_step(state, f, equality=g)
    >>> state.vector.round(decimals=6).tolist(), round(state.equality_multipliers.item(), 6)
    ([0.5, 0.5], -1.0)

    References
    ----------
    Goodfellow et al. 2016, §4.4 (the generalized Lagrangian); Nocedal & Wright 2006, algorithm 17.4; Rockafellar 1973,
    The Multiplier Method of Hestenes and Powell Applied to Convex Programming.
    """
    rho, lam, alpha = state.penalty, state.equality_multipliers, state.inequality_multipliers
    augmented = _augmented(state, function, equality, inequality)
    limit = RUNAWAY * max(1.0, _violation(equality, inequality, state.vector))

    def step(inner: LBFGSState) -> tuple[LBFGSState, StepInfo]:
        inner, told = lbfgs_step(inner, augmented)
        lost = not _violation(equality, inequality, inner.point.vector) <= limit
        return inner, told._replace(size=0.0) if lost else told  # a step of 0 ends the loop

    first = lbfgs_init(augmented, state.vector, memory=20)
    inner, outcome = minimize(step, first, tolerance=tolerance, max_steps=max_steps)
    vector, after_lam, after_alpha, violation = state.vector, lam, alpha, state.violation
    if _violation(equality, inequality, inner.point.vector) <= limit:
        vector = inner.point.vector
        g, h = _values(equality, vector), _values(inequality, vector)
        after_lam, after_alpha = lam + rho * g, (alpha + rho * h).clamp(min=0)
        violation = max(_largest(g), _largest(torch.maximum(h, -alpha / rho)))
    kkt = kkt_residual(
        function,
        vector,
        equality=equality,
        inequality=inequality,
        equality_multipliers=after_lam,
        inequality_multipliers=after_alpha,
    )
    # of a first step that was refused, the violation is still infinite
    slow = violation > 0.25 * state.violation or vector is state.vector
    penalty = min(10 * rho, LARGEST_PENALTY) if slow else rho
    moved = torch.cat([vector - state.vector, after_lam - lam, after_alpha - alpha]).norm()
    with torch.no_grad():
        value = float(function(vector))
    info = AugmentedLagrangianInfo(value, kkt, kkt.worst, float(moved) + penalty - rho, outcome.evaluations + 1)
    return AugmentedLagrangianState(vector, after_lam, after_alpha, penalty, violation), info


def _augmented(
    state: AugmentedLagrangianState, function: Function, equality: Constraints | None, inequality: Constraints | None
) -> Function:
    """Return the augmented Lagrangian at a state's multipliers and penalty."""
    rho, lam, alpha = state.penalty, state.equality_multipliers, state.inequality_multipliers

    def augmented(x: Tensor) -> Tensor:
        value = function(x)
        if equality is not None:
            g = equality(x).flatten()
            value = value + lam.dot(g) + rho / 2 * g.dot(g)
        if inequality is not None:
            pushed = (alpha + rho * inequality(x).flatten()).clamp(min=0)
            value = value + (pushed.dot(pushed) - alpha.dot(alpha)) / (2 * rho)
        return value

    return augmented
