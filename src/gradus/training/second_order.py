"""Second-order steps for small networks (§8.6): Hessian-free optimization and the natural gradient.

All functions take parameters as one vector and what they need as functions of it; `parameter_vector` makes both of a
module. States are NamedTuples, and `init` and `step` are pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError

__all__ = [
    "ConjugateGradients",
    "HessianFreeInfo",
    "HessianFreeState",
    "NaturalGradientInfo",
    "NaturalGradientState",
    "ParameterVector",
    "conjugate_gradients",
    "fisher_matrix",
    "gauss_newton_product",
    "hessian_free_init",
    "hessian_free_step",
    "natural_gradient_init",
    "natural_gradient_step",
    "output_curvature",
    "parameter_vector",
]

Vector = Float[Tensor, " parameters"]
Predict = Callable[[Tensor], Tensor]
Objective = Callable[[Tensor], Tensor]
EachLoss = Callable[[Tensor], Tensor]
Divergence = Callable[[Tensor, Tensor], Tensor]

# Martens 2010, §4.1: the trust in the quadratic model decides the damping, by this factor a step.
DAMPING_FACTOR, LOW_TRUST, HIGH_TRUST = 1.5, 0.25, 0.75


class ParameterVector(NamedTuple):
    """A module's parameters as one vector, and the module as a function of it.

    Attributes
    ----------
    vector : Tensor of shape (parameters,)
        A copy of the parameters, in the order of ``named_parameters``.
    named : callable
        ``vector -> {name: tensor}``, views of the vector.
    call : callable
        ``(vector, *inputs) -> outputs`` of the module.
    """

    vector: Vector
    named: Callable[[Tensor], dict[str, Tensor]]
    call: Callable[..., Tensor]

    def assign(self, network: nn.Module, vector: Vector) -> None:
        """Write a vector into the module's parameters."""
        named = self.named(vector.detach())
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name in named:
                    parameter.copy_(named[name])


def parameter_vector(network: nn.Module) -> ParameterVector:
    """Return a module's trainable parameters as one vector, and the module as a function of it.

    Examples
    --------
    >>> linear = nn.Linear(3, 2)
    >>> vector, named, call = parameter_vector(linear)
    >>> vector.shape, torch.equal(call(2 * vector, torch.ones(1, 3)), 2 * linear(torch.ones(1, 3)))
    (torch.Size([8]), True)
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not parameters:
        raise InputError("a module with trainable parameters", "none", "set requires_grad of some")
    shapes = {name: p.shape for name, p in parameters.items()}
    sizes = [p.numel() for p in parameters.values()]

    def named(vector: Tensor) -> dict[str, Tensor]:
        parts = vector.split(sizes)
        return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def call(vector: Tensor, *inputs: Tensor) -> Tensor:
        return torch.func.functional_call(network, named(vector), inputs)

    flat = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
    return ParameterVector(flat, named, call)


def gauss_newton_product(predict: Predict, objective: Objective, vector: Vector) -> Callable[[Tensor], Tensor]:
    """Return ``v -> Jᵀ H J v``: the product of a vector with the Gauss-Newton matrix, which is never formed.

    ``J`` is the derivative of the outputs by the parameters, ``H`` the Hessian of the objective by the outputs. For
    objectives convex in the outputs the matrix is positive semidefinite, which the Hessian need not be.

    Parameters
    ----------
    predict : callable
        ``parameters -> outputs``.
    objective : callable
        ``outputs -> scalar``, such as the mean loss.
    vector : Tensor of shape (parameters,)
        Where the matrix is taken.

    Examples
    --------
    >>> A = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    >>> product = gauss_newton_product(lambda w: A @ w, lambda z: z.square().sum() / 2, torch.zeros(2))
    >>> product(torch.tensor([1.0, 0.0])).tolist()  # the first column of AᵀA
    [2.0, 1.0]

    References
    ----------
    Goodfellow et al. 2016, §8.6; Schraudolph 2002, Fast Curvature Matrix-Vector Products, §3; Martens 2010, §4.2.
    """
    with torch.enable_grad():
        leaf = vector.detach().requires_grad_()
        outputs = predict(leaf)
        weights = torch.zeros_like(outputs, requires_grad=True)
        (pulled,) = torch.autograd.grad(outputs, leaf, weights, create_graph=True)
        point = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(objective(point), point, create_graph=True)

    def product(direction: Tensor) -> Tensor:
        (moved,) = torch.autograd.grad(pulled, weights, direction, retain_graph=True)
        if not slope.requires_grad:  # the objective is linear in the outputs
            return torch.zeros_like(direction)
        (curved,) = torch.autograd.grad(slope, point, moved, retain_graph=True)
        (found,) = torch.autograd.grad(outputs, leaf, curved, retain_graph=True)
        return found

    return product


def _slope(predict: Predict, objective: Objective, vector: Vector) -> tuple[float, Vector]:
    """Return the objective and its gradient by the parameters."""
    with torch.enable_grad():
        leaf = vector.detach().requires_grad_()
        value = objective(predict(leaf))
        (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient


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
    product: Callable[[Tensor], Tensor],
    target: Vector,
    *,
    start: Vector | None = None,
    iterations: int = 50,
    tolerance: float = 5e-4,
) -> ConjugateGradients:
    """Solve ``A x = b`` for a symmetric positive definite ``A`` that is known by its products with vectors.

    Parameters
    ----------
    product : callable
        ``v -> A v``.
    target : Tensor of shape (n,)
        ``b``.
    start : Tensor of shape (n,), optional
        First guess; zero by default.
    iterations : int
        Most products, 1 or more.
    tolerance : float
        Ends when the last tenth of the iterations (ten at least) lowered ``xᵀAx/2 - bᵀx`` by less than this share an
        iteration; 0 goes on to the end, or until ``b`` is met.

    Examples
    --------
    >>> A = torch.tensor([[4.0, 1.0], [1.0, 3.0]])
    >>> conjugate_gradients(lambda v: A @ v, torch.tensor([1.0, 2.0])).solution.mul(11).round().tolist()
    [1.0, 7.0]

    References
    ----------
    Goodfellow et al. 2016, §8.6.2, algorithm 8.9; Martens 2010, Deep Learning via Hessian-free Optimization, §4.4.
    """
    if iterations < 1 or tolerance < 0:
        raise SettingError("1 iteration or more and a tolerance of 0 or more", f"{iterations}, {tolerance}", "raise it")
    x = torch.zeros_like(target) if start is None else start.clone()
    residual = target - product(x) if start is not None else target.clone()
    used = int(start is not None)
    direction, squared = residual.clone(), residual.dot(residual)
    smallest = torch.finfo(target.dtype).eps ** 2 * target.dot(target)
    values: list[float] = []
    for _ in range(iterations):
        if squared <= smallest:
            break
        curved = product(direction)
        used += 1
        curvature = direction.dot(curved)
        if curvature <= 0:  # rounding, or a matrix that is not positive definite: no lower point along here
            break
        size = squared / curvature
        x = x + size * direction
        residual = residual - size * curved
        after = residual.dot(residual)
        direction = residual + (after / squared) * direction
        squared = after
        values.append(float(-0.5 * (x.dot(target + residual))))
        back = max(10, len(values) // 10)
        if len(values) > back and values[-1] < 0:
            if (values[-1 - back] - values[-1]) / abs(values[-1]) < back * tolerance:
                break
    return ConjugateGradients(x, used, float(-0.5 * x.dot(target + residual)))


class HessianFreeState(NamedTuple):
    """Where Hessian-free optimization is.

    Attributes
    ----------
    vector : Tensor of shape (parameters,)
        The parameters.
    direction : Tensor of shape (parameters,)
        The last solution, from which the next one starts.
    damping : float
        Weight of ``‖d‖² / 2`` in the quadratic model.
    """

    vector: Vector
    direction: Vector
    damping: float


class HessianFreeInfo(NamedTuple):
    """What one step did: the objective before and after, products used, the model's trust, and the step taken."""

    before: float
    after: float
    iterations: int
    trust: float
    size: float


def hessian_free_init(vector: Vector, *, damping: float = 1.0) -> HessianFreeState:
    """Return the state at a vector of parameters.

    Examples
    --------
    >>> hessian_free_init(torch.zeros(3)).damping
    1.0
    """
    if not damping > 0:
        raise SettingError("a damping above 0", str(damping), "set for example damping=1.0")
    return HessianFreeState(vector.detach().clone(), torch.zeros_like(vector), damping)


def hessian_free_step(
    state: HessianFreeState,
    predict: Predict,
    objective: Objective,
    *,
    iterations: int = 50,
    tolerance: float = 5e-4,
) -> tuple[HessianFreeState, HessianFreeInfo]:
    """Take one step of Hessian-free optimization: minimize the damped quadratic model by conjugate gradients.

    ``(Jᵀ H J + λ I) d = -∇L``. If the objective does not fall along all of ``d``, shorter steps are tried, and none is
    taken where none lowers it. The damping falls where the model foretold the fall well, and rises where it did not.

    Parameters
    ----------
    state : HessianFreeState
        Where to start.
    predict : callable
        ``parameters -> outputs``, on the whole data: differences between batches would pass for differences between
        parameters.
    objective : callable
        ``outputs -> scalar``, convex, such as the mean loss.
    iterations, tolerance
        As in :func:`conjugate_gradients`.

    Returns
    -------
    state : HessianFreeState
        After the step.
    info : HessianFreeInfo
        What it did.

    Examples
    --------
    >>> A, b = torch.eye(2), torch.tensor([1.0, -2.0])
    >>> state = hessian_free_init(torch.zeros(2), damping=1e-6)
    >>> state, info = hessian_free_step(state, lambda w: A @ w - b, lambda z: z.square().sum() / 2)
    >>> state.vector.round(decimals=3).tolist(), round(info.before, 3), round(info.after, 3)
    ([1.0, -2.0], 2.5, 0.0)

    References
    ----------
    Goodfellow et al. 2016, §8.6.2; Martens 2010, §4.
    """
    vector = state.vector
    at, gradient = _slope(predict, objective, vector)
    bare = gauss_newton_product(predict, objective, vector)
    start = state.direction if bool(state.direction.any()) else None
    found = conjugate_gradients(
        lambda d: bare(d) + state.damping * d, -gradient, start=start, iterations=iterations, tolerance=tolerance
    )
    direction = found.solution

    def value(size: float) -> float:
        with torch.no_grad():
            return float(objective(predict(vector + size * direction)))

    size, after = _shortened(value, at)
    # The quadratic model without damping foretells the whole step.
    foretold = float(gradient.dot(direction) + 0.5 * direction.dot(bare(direction)))
    whole = after if size == 1.0 else value(1.0)
    trust = (whole - at) / foretold if foretold < 0 and whole == whole else 0.0
    damping = state.damping
    if trust < LOW_TRUST:
        damping *= DAMPING_FACTOR
    elif trust > HIGH_TRUST:
        damping /= DAMPING_FACTOR
    kept = direction if size > 0 else torch.zeros_like(direction)
    info = HessianFreeInfo(at, after, found.iterations, trust, size)
    return HessianFreeState((vector + size * direction).detach(), kept, damping), info


def _shortened(value: Callable[[float], float], at: float, tries: int = 12) -> tuple[float, float]:
    """Return the first of 1, 0.7, 0.49, ... at which the objective is lower, and its value; 0 if none is."""
    size = 1.0
    for _ in range(tries):
        found = value(size)
        if found < at:
            return size, found
        size *= 0.7
    return 0.0, at


def output_curvature(each: EachLoss, outputs: Float[Tensor, " n *outputs"]) -> Float[Tensor, "n d d"]:
    """Return the Hessian of each example's loss by its own outputs, flattened.

    Parameters
    ----------
    each : callable
        ``outputs -> losses`` of shape (n,), each from its own example's outputs.
    outputs : Tensor of shape (n, ...)
        Where.

    Examples
    --------
    >>> output_curvature(lambda z: (z**3).sum(1), torch.tensor([[1.0, 2.0]])).tolist()
    [[[6.0, 0.0], [0.0, 12.0]]]
    """
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(each(leaf).sum(), leaf, create_graph=True)
        if not slope.requires_grad:  # linear in the outputs
            return torch.zeros(len(outputs), *[outputs[0].numel()] * 2, dtype=outputs.dtype, device=outputs.device)
        columns = slope.reshape(len(outputs), -1)
        rows: list[Tensor] = []
        for column in columns.unbind(1):
            (row,) = torch.autograd.grad(column.sum(), leaf, retain_graph=True, allow_unused=True)
            rows.append(torch.zeros_like(leaf) if row is None else row)
    return torch.stack([row.reshape(len(outputs), -1) for row in rows], 1)


def fisher_matrix(predict: Predict, divergence: Divergence, vector: Vector) -> Float[Tensor, "parameters parameters"]:
    """Return the exact Fisher information of the parameters, averaged over the inputs.

    ``F = 1/n Σ_i E_{y ~ p(y|x_i)} [∇log p(y|x_i) ∇log p(y|x_i)ᵀ] = 1/n Σ_i J_iᵀ F_i J_i``, with the derivatives ``J_i``
    of each example's outputs and the Fisher information ``F_i`` of the output distribution: the curvature of its
    divergence from itself.

    Parameters
    ----------
    predict : callable
        ``parameters -> outputs`` of shape (n, ...): the parameters of the predicted distributions.
    divergence : callable
        ``(first, second) -> KL(p ‖ q)`` of shape (n,), as `gradus.training.semi_supervised.divergence` of a head.
    vector : Tensor of shape (parameters,)
        Where. Memory grows with its square, and with its product with all outputs: for small networks.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [2.0]])
    >>> from gradus.networks import BinaryHead
    >>> from gradus.training.semi_supervised import divergence
    >>> kl = lambda p, q: divergence(BinaryHead(1), p, q)
    >>> fisher_matrix(lambda w: (x * w).squeeze(1), kl, torch.zeros(1)).tolist()  # (1 + 4) / 2 times p (1 - p) = 1/4
    [[0.625]]

    References
    ----------
    Goodfellow et al. 2016, §8.6 and §18.4 (the metric); Amari 1998, Natural Gradient Works Efficiently in Learning;
    Martens 2020, New Insights and Perspectives on the Natural Gradient Method, §9.
    """
    with torch.no_grad():
        outputs = predict(vector)
    each = output_curvature(lambda moved: divergence(outputs, moved), outputs)
    jacobian: Any = torch.func.jacrev(predict)(vector)
    jacobian = jacobian.detach().reshape(len(outputs), -1, len(vector))
    return torch.einsum("nap,nab,nbq->pq", jacobian, each, jacobian) / len(outputs)


class NaturalGradientState(NamedTuple):
    """Where natural gradient descent is: the parameters, and steps taken."""

    vector: Vector
    steps: int


class NaturalGradientInfo(NamedTuple):
    """What one step did: the objective before it, and the length of the step in the metric, ``sqrt(dᵀ F d)``."""

    before: float
    length: float


def natural_gradient_init(vector: Vector) -> NaturalGradientState:
    """Return the state at a vector of parameters.

    Examples
    --------
    >>> natural_gradient_init(torch.zeros(3)).steps
    0
    """
    return NaturalGradientState(vector.detach().clone(), 0)


def natural_gradient_step(
    state: NaturalGradientState,
    predict: Predict,
    objective: Objective,
    divergence: Divergence,
    *,
    learning_rate: float = 1.0,
    damping: float = 1e-3,
    trust: float | None = None,
) -> tuple[NaturalGradientState, NaturalGradientInfo]:
    """Take one step along the natural gradient: steepest descent where distance is the change of the distribution.

    ``θ <- θ - η (F + λ I)⁻¹ ∇L``. Without damping it does not depend on how the distribution is parametrized (to first
    order in ``η``; exactly under linear maps), and for a linear model with Gaussian outputs it is Newton's step.

    Parameters
    ----------
    state : NaturalGradientState
        Where to start.
    predict, divergence
        As in :func:`fisher_matrix`.
    objective : callable
        ``outputs -> scalar``, such as the mean loss.
    learning_rate : float
        ``η``, above 0.
    damping : float
        ``λ``, 0 or more; at 0 directions that change no distribution are left alone (the pseudo-inverse).
    trust : float, optional
        Longest step in the metric: ``d`` is shortened until ``sqrt(dᵀ F d)``, about ``sqrt(2 KL)``, is at most this.

    Returns
    -------
    state : NaturalGradientState
        After the step.
    info : NaturalGradientInfo
        What it did.

    Examples
    --------
    >>> from gradus.networks import GaussianHead
    >>> from gradus.training.semi_supervised import divergence
    >>> x, y, head = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2.0, 3.0, 9.0]), GaussianHead(1)
    >>> state, info = natural_gradient_step(
    ...     natural_gradient_init(torch.zeros(1)),
    ...     lambda w: x * w,
    ...     lambda z: head.losses(z, y).mean(),
    ...     lambda p, q: divergence(head, p, q),
    ...     damping=0.0,
    ... )
    >>> round(state.vector.item(), 4), round(float((x * y).sum() / (x * x).sum()), 4)  # least squares, in one step
    (2.0952, 2.0952)

    References
    ----------
    Amari 1998; Goodfellow et al. 2016, §8.6; Schulman et al. 2015, Trust Region Policy Optimization (the trust).
    """
    if not learning_rate > 0 or not damping >= 0 or (trust is not None and not trust > 0):
        received = f"learning_rate={learning_rate}, damping={damping}, trust={trust}"
        raise SettingError("a positive learning_rate and trust, and a damping of 0 or more", received, "correct it")
    vector = state.vector
    before, gradient = _slope(predict, objective, vector)
    fisher = fisher_matrix(predict, divergence, vector)
    if damping:
        damped = fisher + damping * torch.eye(len(vector), dtype=fisher.dtype, device=fisher.device)
        direction = torch.cholesky_solve(gradient[:, None], torch.linalg.cholesky(damped)).squeeze(1)
    else:
        direction = torch.linalg.pinv(fisher, hermitian=True) @ gradient
    step = -learning_rate * direction
    length = float(step.dot(fisher @ step).clamp_min(0).sqrt())
    if trust is not None and length > trust:
        step, length = step * (trust / length), trust
    return NaturalGradientState((vector + step).detach(), state.steps + 1), NaturalGradientInfo(before, length)
