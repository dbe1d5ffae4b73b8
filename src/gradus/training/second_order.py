"""Second-order steps for small networks (§8.6): Hessian-free optimization and the natural gradient.

All functions take parameters as one vector and what they need as functions of it; `parameter_vector` makes both of a
module. States are NamedTuples, and `init` and `step` are pure. What is no matter of networks, as Newton's method and
L-BFGS, is in `gradus.foundations.numerical`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import NonFiniteError, SettingError
from gradus.foundations.numerical.conjugate import conjugate_gradients
from gradus.foundations.numerical.points import Point, evaluate
from gradus.foundations.numerical.products import gauss_newton_product

__all__ = [
    "HessianFreeInfo",
    "HessianFreeState",
    "NaturalGradientInfo",
    "NaturalGradientState",
    "fisher_matrix",
    "hessian_free_init",
    "hessian_free_step",
    "natural_gradient_init",
    "natural_gradient_step",
    "output_curvature",
]

Vector = Float[Tensor, " parameters"]
Predict = Callable[[Tensor], Tensor]
Objective = Callable[[Tensor], Tensor]
EachLoss = Callable[[Tensor], Tensor]
Divergence = Callable[[Tensor, Tensor], Tensor]

# Martens 2010, §4.1: the trust in the quadratic model decides the damping, by this factor a step.
DAMPING_FACTOR, LOW_TRUST, HIGH_TRUST = 1.5, 0.25, 0.75


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
    _, at, gradient = _begun(predict, objective, vector)
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


def _begun(predict: Predict, objective: Objective, vector: Vector) -> Point:
    point = evaluate(lambda v: objective(predict(v)), vector)
    if not point.finite:
        received = f"{point.value:g}" if not isfinite(point.value) else "a gradient that is not finite"
        raise NonFiniteError("a finite objective", received, "raise damping, lower trust or look for extreme inputs")
    return point


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
    _, before, gradient = _begun(predict, objective, vector)
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
