"""Derivatives along a direction, by reverse mode twice: for every function that autograd can differentiate twice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["directional_derivative"]


def directional_derivative(
    function: Callable[[Tensor], Tensor], inputs: Float[Tensor, " *shape"], direction: Float[Tensor, " *shape"]
) -> tuple[Float[Tensor, " *outputs"], Float[Tensor, " *outputs"]]:
    """Return a function's value and its derivative along a direction, ``J v``, both differentiable further.

    ``uᵀ J`` is linear in ``u``, so its own derivative by ``u`` is ``J``. Forward mode would need one pass less, but not
    every layer has it.

    Parameters
    ----------
    function : callable
        ``inputs -> outputs``; parameters that it captures keep their gradients.
    inputs : Tensor
        Where, floating point.
    direction : Tensor of the inputs' shape
        ``v``.

    Examples
    --------
    >>> value, change = directional_derivative(lambda x: x**2, torch.tensor([1.0, 3.0]), torch.tensor([1.0, 0.5]))
    >>> value.tolist(), change.tolist()
    ([1.0, 9.0], [2.0, 3.0])

    References
    ----------
    Goodfellow et al. 2016, §6.5.10 (products with a Jacobian without forming it).
    """
    with torch.enable_grad():
        leaf = inputs if inputs.requires_grad else inputs.detach().requires_grad_()
        outputs = function(leaf)
        weights = torch.zeros_like(outputs, requires_grad=True)
        (pulled,) = torch.autograd.grad(outputs, leaf, weights, create_graph=True)
        (change,) = torch.autograd.grad(pulled, weights, direction, create_graph=True)
    return outputs, change
