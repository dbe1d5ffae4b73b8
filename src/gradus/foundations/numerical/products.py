"""Products of vectors with Jacobians, Hessians and Gauss-Newton matrices that are never formed (§4.3.1, §6.5.10).

Each function returns the value at a point and the linear map there, so that many products share one evaluation.
Everything is by reverse mode, which every layer of PyTorch has; forward mode not all have. Inputs are a tensor, or
dicts, lists and tuples of tensors, such as a network's parameters by name. Products are differentiable further wherever
gradients are enabled; under `torch.no_grad` they cost less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError
from gradus.foundations.trees import leaves, rebuilt

__all__ = ["gauss_newton_product", "hessian_vector_product", "jacobian_vector_product", "vector_jacobian_product"]

Tree = Any  # a tensor, or dicts, lists and tuples of trees


def jacobian_vector_product(
    function: Callable[[Tree], Tensor], inputs: Tree
) -> tuple[Float[Tensor, " *outputs"], Callable[[Tree], Tensor]]:
    """Return a function's value and ``v -> J v``, its derivative along directions.

    ``uᵀ J`` is linear in ``u``, so its own derivative by ``u`` is ``J``.

    Parameters
    ----------
    function : callable
        ``inputs -> outputs``; parameters that it captures keep their gradients.
    inputs : Tensor, or dicts, lists and tuples of them
        Where, floating point.

    Returns
    -------
    value : Tensor
        The outputs.
    product : callable
        A direction built like the inputs ``-> `` the outputs' change along it, of their shape.

    Raises
    ------
    InputError
        If inputs are not floating point, the outputs do not depend on them, or a direction does not fit.

    Examples
    --------
    >>> value, product = jacobian_vector_product(lambda x: x**2, torch.tensor([1.0, 3.0]))
    >>> value.tolist(), product(torch.tensor([1.0, 0.5])).tolist()
    ([1.0, 9.0], [2.0, 3.0])

    References
    ----------
    Goodfellow et al. 2016, §4.3.1, §6.5.10.
    """
    outputs, sources = _followed(function, inputs)
    with torch.enable_grad():
        weights = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, sources, weights, create_graph=True, materialize_grads=True)

    def product(direction: Tree) -> Tensor:
        (change,) = _grad(pulled, [weights], _fitting(direction, sources, "a direction"))
        return change

    return outputs, product


def vector_jacobian_product(
    function: Callable[[Tree], Tensor], inputs: Tree
) -> tuple[Float[Tensor, " *outputs"], Callable[[Tensor], Tree]]:
    """Return a function's value and ``u -> uᵀ J``: what back-propagation computes.

    Parameters
    ----------
    function, inputs
        As in :func:`jacobian_vector_product`.

    Returns
    -------
    value : Tensor
        The outputs.
    product : callable
        Weights of the outputs' shape ``->`` the gradient of the outputs' weighted sum, built like the inputs.

    Raises
    ------
    InputError
        As in :func:`jacobian_vector_product`, or if the weights do not have the outputs' shape.

    Examples
    --------
    >>> value, product = vector_jacobian_product(lambda p: p["w"] * p["b"], {"w": torch.ones(2), "b": torch.ones(1)})
    >>> with torch.no_grad():
    ...     product(torch.tensor([1.0, 5.0]))
    {'w': tensor([1., 5.]), 'b': tensor([6.])}

    References
    ----------
    Goodfellow et al. 2016, §6.5.2, eq. 6.46.
    """
    outputs, sources = _followed(function, inputs)

    def product(weights: Tensor) -> Tree:
        return rebuilt(inputs, _grad([outputs], sources, _fitting(weights, [outputs], "weights")))

    return outputs, product


def hessian_vector_product(
    function: Callable[[Tree], Tensor], inputs: Tree
) -> tuple[Float[Tensor, ""], Callable[[Tree], Tree]]:
    """Return a scalar function's value and ``v -> H v``: the gradient of ``vᵀ ∇f``.

    Parameters
    ----------
    function : callable
        ``inputs -> one number``, twice differentiable.
    inputs : Tensor, or dicts, lists and tuples of them
        Where, floating point.

    Returns
    -------
    value : Tensor
        The number.
    product : callable
        A direction built like the inputs ``->`` how the gradient changes along it, built like the inputs.

    Raises
    ------
    InputError
        As in :func:`jacobian_vector_product`, or if the function returns more than one number.

    Examples
    --------
    >>> value, product = hessian_vector_product(lambda x: x[0] ** 2 * x[1], torch.tensor([1.0, 2.0]))
    >>> product(torch.tensor([1.0, 0.0])).tolist()  # the first column of [[2y, 2x], [2x, 0]]
    [4.0, 2.0]

    References
    ----------
    Goodfellow et al. 2016, §6.5.10, eq. 6.59; Pearlmutter 1994, Fast Exact Multiplication by the Hessian.
    """
    value, sources = _followed(function, inputs)
    check_scalar(value)
    with torch.enable_grad():
        slopes = torch.autograd.grad(value, sources, create_graph=True, materialize_grads=True)

    def product(direction: Tree) -> Tree:
        return rebuilt(inputs, _grad(slopes, sources, _fitting(direction, sources, "a direction")))

    return value, product


def gauss_newton_product(
    predict: Callable[[Tensor], Tensor], objective: Callable[[Tensor], Tensor], vector: Float[Tensor, " parameters"]
) -> Callable[[Tensor], Tensor]:
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
    leaf = vector.detach().requires_grad_()
    outputs, push = jacobian_vector_product(predict, leaf)
    _, curve = hessian_vector_product(objective, outputs.detach())

    def product(direction: Tensor) -> Tensor:
        with torch.no_grad():
            (found,) = _grad([outputs], [leaf], [curve(push(direction))])
        return found

    return product


def check_scalar(value: Tensor) -> None:
    """Refuse a function's value that is no single number."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        received = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise InputError("a function that returns a tensor with one number", received, "return its sum or its mean")


def _followed(function: Callable[[Tree], Tensor], inputs: Tree) -> tuple[Tensor, list[Tensor]]:
    """Return the outputs, and the leaves that they are followed back to."""
    sources: list[Tensor] = []
    for leaf in leaves(inputs):
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
            received = str(leaf.dtype) if isinstance(leaf, Tensor) else type(leaf).__name__
            raise InputError("tensors of floating-point numbers", received, "convert them, for example with .double()")
        sources.append(leaf if leaf.requires_grad else leaf.detach().requires_grad_())
    with torch.enable_grad():
        outputs = function(rebuilt(inputs, sources))
    if not isinstance(outputs, Tensor) or not outputs.requires_grad:
        received = "one without a gradient" if isinstance(outputs, Tensor) else type(outputs).__name__
        mend = "compute it from the function's argument by torch operations, without detach or no_grad"
        raise InputError("a tensor that depends on the inputs", received, mend)
    return outputs, sources


def _grad(outputs: Sequence[Tensor], sources: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradient of weighted outputs, zero where nothing depends; it can be asked for again."""
    pairs = [(output, weight) for output, weight in zip(outputs, weights, strict=True) if output.requires_grad]
    if not pairs:  # a gradient that is constant
        return tuple(torch.zeros_like(source) for source in sources)
    return torch.autograd.grad(
        [output for output, _ in pairs],
        sources,
        [weight for _, weight in pairs],
        retain_graph=True,
        create_graph=torch.is_grad_enabled(),
        materialize_grads=True,
    )


def _fitting(tree: Tree, like: Sequence[Tensor], what: str) -> list[Tensor]:
    """Return the leaves of a tree after a look at their shapes."""
    parts = leaves(tree)
    shapes = [tuple(part.shape) if isinstance(part, Tensor) else None for part in parts]
    if shapes != [tuple(leaf.shape) for leaf in like]:
        expected = f"{what} of shape {', '.join(str(tuple(leaf.shape)) for leaf in like)}"
        raise InputError(expected, ", ".join(map(str, shapes)), "give each number its own")
    return parts
