"""L-BFGS: curvature remembered from the last steps (§8.6.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import SettingError
from gradus.foundations.numerical.line_search import wolfe
from gradus.foundations.numerical.points import Function, Point, StepInfo, Vector, first_point

__all__ = ["LBFGSState", "inverse_hessian_product", "lbfgs_init", "lbfgs_step"]

Pair = tuple[Tensor, Tensor]


class LBFGSState(NamedTuple):
    """Where L-BFGS is.

    Attributes
    ----------
    point : Point
        The vector, with value and gradient there.
    pairs : tuple of (Tensor, Tensor)
        The last steps, and how each changed the gradient; the oldest first.
    memory : int
        Most pairs.
    """

    point: Point
    pairs: tuple[Pair, ...]
    memory: int


def inverse_hessian_product(
    gradient: Float[Tensor, " *shape"],
    pairs: Sequence[Pair],
    initial: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, " *shape"]:
    """Return a vector times L-BFGS's approximation of the inverse Hessian.

    ``M_t = Vᵀ M_{t-1} V + s sᵀ / sᵀy`` with ``V = I - y sᵀ / sᵀy``, begun from ``M_0``: the matrix nearest to the one
    before that maps the last change of gradient to the step that caused it, ``M y = s``. No matrix is formed.

    Parameters
    ----------
    gradient : Tensor
        The vector, of any shape.
    pairs : sequence of (Tensor, Tensor)
        Steps ``s`` and changes of gradient ``y`` of its shape, with ``sᵀ y > 0``, the oldest first.
    initial : callable, optional
        ``v -> M_0 v``; by default ``sᵀy / yᵀy`` of the last pair times ``v``, or ``v`` itself without pairs.

    Returns
    -------
    Tensor of the gradient's shape

    Examples
    --------
    >>> step, change = torch.tensor([1.0, 0.0]), torch.tensor([4.0, 0.0])  # curvature 4 along the first axis
    >>> inverse_hessian_product(torch.tensor([8.0, 8.0]), [(step, change)]).tolist()
    [2.0, 2.0]

    References
    ----------
    Goodfellow et al. 2016, §8.6.3 (our ``M`` is the book's **M**); Nocedal & Wright 2006, algorithm 7.4.
    """
    found, shares = gradient.clone(), []
    for step, change in reversed(pairs):
        share = _inner(step, found) / _inner(step, change)
        found -= share * change
        shares.append(share)
    if initial is not None:
        found = initial(found)
    elif pairs:
        step, change = pairs[-1]
        found = found * (_inner(step, change) / _inner(change, change))
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        found = found + step * (share - _inner(change, found) / _inner(step, change))
    return found


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return a.flatten().dot(b.flatten())


def lbfgs_init(function: Function, vector: Vector, *, memory: int = 10) -> LBFGSState:
    """Return the state at a vector.

    Parameters
    ----------
    function : callable
        ``vector -> one number``, differentiable by torch.
    vector : Tensor of shape (n,)
        Where to begin; float64 reaches small gradients.
    memory : int
        Steps remembered, 1 or more; each takes twice the vector's memory.

    Raises
    ------
    InputError
        If the vector or the function is none, or not finite there.
    SettingError
        If the memory is below 1.

    Examples
    --------
    >>> lbfgs_init(lambda x: x.square().sum(), torch.tensor([3.0, 4.0])).point.value
    25.0
    """
    if memory < 1:
        raise SettingError("a memory of 1 step or more", f"memory={memory}", "set for example memory=10")
    return LBFGSState(first_point(function, vector), (), memory)


def lbfgs_step(
    state: LBFGSState, function: Function, *, decrease: float = 1e-4, curvature: float = 0.9
) -> tuple[LBFGSState, StepInfo]:
    """Take one step: a search along minus the gradient times the inverse Hessian that the memory suggests.

    Parameters
    ----------
    state : LBFGSState
        Where to start.
    function : callable
        As in :func:`lbfgs_init`; the same at every step, so not the loss of a new minibatch.
    decrease, curvature
        Of the line search, :func:`wolfe`.

    Returns
    -------
    state : LBFGSState
        After the step.
    info : StepInfo
        What it did.

    Examples
    --------
    >>> f = lambda x: (x[0] - 1) ** 2 + 10 * (x[1] + 2) ** 2
    >>> state = lbfgs_init(f, torch.zeros(2, dtype=torch.float64))
    >>> for _ in range(6):
    ...     state, info = lbfgs_step(state, f)
    >>> state.point.vector.round(decimals=4).tolist()
    [1.0, -2.0]

    References
    ----------
    Goodfellow et al. 2016, §8.6.3; Nocedal & Wright 2006, algorithm 7.5.
    """
    point, pairs = state.point, state.pairs
    if not bool(point.gradient.any()):
        return state, StepInfo(point.value, 0.0, 0.0, 0)
    used = 0
    while True:
        direction = -inverse_hessian_product(point.gradient, pairs)
        # Without curvature nothing is known of the scale: 1 long at most.
        first = 1.0 if pairs else min(1.0, 1 / float(direction.norm()))
        if not pairs or float(direction.dot(point.gradient)) < 0:
            search = wolfe(function, point, direction, first=first, decrease=decrease, curvature=curvature)
            used += search.evaluations
            if search.size > 0 or not pairs:
                break
        pairs = ()  # the memory misled: once more without it
    step, change = search.point.vector - point.vector, search.point.gradient - point.gradient
    if float(step.dot(change)) > torch.finfo(step.dtype).eps * float(change.dot(change)):
        pairs = (*pairs, (step, change))[-state.memory :]
    info = StepInfo(search.point.value, float(search.point.gradient.abs().max()), search.size, used)
    return LBFGSState(search.point, pairs, state.memory), info
