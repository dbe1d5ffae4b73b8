"""Differentiation from scratch, and graphs to look at (§6.5).

The engine is three files: `variables` (nodes and operations), `derivatives` (back-propagation and what is made of it)
and `functions` (softmax, convolution, einsum). The viewer shows its graphs and those of PyTorch alike: `show`.
"""

from __future__ import annotations

from gradus.foundations.graph.checking import numerical_gradient
from gradus.foundations.graph.derivatives import (
    backpropagate,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    pushforward,
    value_and_grad,
    vjp,
)
from gradus.foundations.graph.functions import (
    concatenate,
    convolve,
    einsum,
    log_softmax,
    logsumexp,
    sigmoid,
    softmax,
    softplus,
    stack,
    where,
)
from gradus.foundations.graph.picture import Picture
from gradus.foundations.graph.showing import Drawing, picture, show
from gradus.foundations.graph.variables import (
    Operation,
    Variable,
    absolute,
    cos,
    exp,
    log,
    logaddexp,
    matmul,
    maximum,
    minimum,
    relu,
    scope,
    sin,
    sqrt,
    tanh,
)

__all__ = [
    "Drawing",
    "Operation",
    "Picture",
    "Variable",
    "absolute",
    "backpropagate",
    "concatenate",
    "convolve",
    "cos",
    "einsum",
    "exp",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "log",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "matmul",
    "maximum",
    "minimum",
    "numerical_gradient",
    "picture",
    "pushforward",
    "relu",
    "scope",
    "show",
    "sigmoid",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "stack",
    "tanh",
    "value_and_grad",
    "vjp",
    "where",
]
