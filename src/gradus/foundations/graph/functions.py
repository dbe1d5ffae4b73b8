"""Functions composed of operations: softmax, convolution, einsum. Their derivatives follow by the chain rule alone."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradus.core.errors import InputError
from gradus.foundations.graph import variables as v
from gradus.foundations.graph.variables import Variable, scope, variable

sigmoid = v.elementwise("sigmoid", lambda x: np.exp(-np.logaddexp(0.0, -x)), lambda y, x: y * (1 - y))


def softplus(x: Any) -> Variable:
    """Return ζ(x) = log(1 + eˣ), eq. 3.31, without overflow."""
    return v.logaddexp(x, 0.0)


def where(condition: Any, a: Any, b: Any) -> Variable:
    """Return ``a`` where the condition holds, else ``b``; the gradient goes where the value came from."""
    return v.choice(a, b, condition=np.asarray(condition.value if isinstance(condition, Variable) else condition, bool))


def concatenate(parts: Sequence[Any], axis: int = 0) -> Variable:
    """Join along an axis that exists."""
    return v.joined(*parts, axis=axis)


def stack(parts: Sequence[Any], axis: int = 0) -> Variable:
    """Join along a new axis."""
    known = [variable(part) for part in parts]
    at = axis % (known[0].ndim + 1)
    return v.joined(*(part.reshape(*part.shape[:at], 1, *part.shape[at:]) for part in known), axis=at)


def logsumexp(x: Any, axis: int = -1, keepdims: bool = False) -> Variable:
    """Return log Σ exp(x), with the largest term taken out first so that nothing overflows (§4.1)."""
    with scope("logsumexp"):
        x = variable(x)
        top = x.value.max(axis, keepdims=True)  # a constant: the answer does not depend on it, so no gradient is lost
        top = np.where(np.isfinite(top), top, 0.0)
        return v.log(v.exp(x - top).sum(axis, keepdims)) + (top if keepdims else top.squeeze(axis))


def softmax(x: Any, axis: int = -1) -> Variable:
    """Return exp(x_i) / Σ_j exp(x_j), eq. 6.29, as the exponential of `log_softmax`."""
    with scope("softmax"):
        return v.exp(log_softmax(x, axis))


def log_softmax(x: Any, axis: int = -1) -> Variable:
    """Return x_i - log Σ_j exp(x_j), eq. 6.30."""
    with scope("log_softmax"):
        x = variable(x)
        return x - logsumexp(x, axis, keepdims=True)


def convolve(x: Any, w: Any, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Variable:
    """Slide kernels over series, images or volumes: Z_oxy = Σ_cij X_c,x+i,y+j W_ocij (eq. 9.6; for the stride eq. 9.8).

    Parameters
    ----------
    x, w : array or Variable of shape (batch, channels, *positions) and (outputs, channels, *size)
        Inputs with one axis of positions or more, and the kernels.
    stride, padding, dilation : int
        Step between windows, zeros on each side, step between entries of a window; the same on every axis.

    Examples
    --------
    >>> convolve([[[1.0, 2.0, 4.0, 8.0]]], [[[-1.0, 1.0]]])
    Variable([[[1., 2., 4.]]])
    """
    x, w = variable(x), variable(w)
    n = w.ndim - 2
    if n < 1 or x.ndim != w.ndim or x.shape[1] != w.shape[1]:
        wanted = "x of shape (batch, channels, ...) and w of (outputs, channels, ...) for convolve"
        raise InputError(wanted, f"{x.shape} and {w.shape}", "add or reorder axes")
    with scope("convolve"):
        if padding:
            inner = tuple(slice(padding, padding + length) for length in x.shape[2:])
            shape = (*x.shape[:2], *(length + 2 * padding for length in x.shape[2:]))
            x = v.scatter(x, key=(..., *inner), shape=shape)
        patches = v.windows(x, size=w.shape[2:], stride=(stride,) * n, dilation=(dilation,) * n)
        at, within = string.ascii_lowercase[3 : 3 + n], string.ascii_uppercase[:n]
        return einsum(f"bc{at}{within},oc{within}->bo{at}", patches, w)


def _einsum_bprop(i: int, G: Variable, y: Variable, *inputs: Variable, subscripts: str) -> Variable:
    """Swap the roles of input and output: the gradient of a sum of products is a sum of products."""
    left, _, out = subscripts.partition("->")
    terms, arrays = left.split(","), list(inputs)
    mine, x = terms.pop(i), arrays.pop(i)
    alone = [k for k in range(len(mine)) if mine[k] not in "".join([out, *terms])]  # summed here only: spread again
    if alone:
        terms.append("".join(mine[k] for k in alone))
        arrays.append(variable(np.ones([x.shape[k] for k in alone])))
    return v.sum_to(_einsum(G, *arrays, subscripts=",".join([out, *terms]) + "->" + mine), x.shape)


_einsum = v.product("einsum", lambda *xs, subscripts: np.einsum(subscripts, *xs, optimize=len(xs) > 1), _einsum_bprop)


def einsum(subscripts: str, *inputs: Any) -> Variable:
    """Sum products of entries over the letters that the result lacks, as `numpy.einsum` does.

    Examples
    --------
    >>> einsum("ij,jk->ik", [[1.0, 2.0]], [[3.0], [4.0]]), einsum("ii", [[1.0, 2.0], [3.0, 4.0]])
    (Variable([[11.]]), Variable(5.))
    """
    arrays = [variable(x) for x in inputs]
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(arrays):
        raise InputError(f"{len(terms)} inputs for einsum {subscripts!r}", str(len(arrays)), "give one for each term")
    free = [letter for letter in string.ascii_letters if letter not in subscripts]
    hidden = [("..." in t) * (x.ndim - len(t.replace("...", ""))) for t, x in zip(terms, arrays, strict=True)]
    dots = "".join(free.pop() for _ in range(max(hidden)))
    if not arrow:
        out = "..." + "".join(sorted(c for c in set(left) - set(".,") if left.count(c) == 1))
    out = out.replace("...", dots)
    terms = [term.replace("...", dots[len(dots) - k :]) for k, term in zip(hidden, terms, strict=True)]
    for i, term in enumerate(terms[:]):
        for k, letter in enumerate(term):
            if letter in term[:k] and k < arrays[i].ndim:  # a diagonal: another letter, tied by the identity matrix
                terms[i] = terms[i][:k] + free[-1] + terms[i][k + 1 :]
                terms.append(letter + free.pop())
                arrays.append(variable(np.eye(arrays[i].shape[k])))
    return _einsum(*arrays, subscripts=",".join(terms) + "->" + out)
