"""A network's parameters as one vector, as methods with curvature want them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError

__all__ = ["ParameterVector", "parameter_vector"]

Vector = Float[Tensor, " parameters"]


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
