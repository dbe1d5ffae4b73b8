"""Derivatives of a recorded graph: back-propagation, forward mode, and what is made of them.

`backpropagate` is algorithm 6.5 and `build_gradient` algorithm 6.6; on a graph of scalars they are algorithm 6.2, and
on the graph of a deep network (algorithm 6.3) they do, step by step, what algorithm 6.4 writes out by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from gradus.core.errors import InputError
from gradus.foundations.graph.variables import RECORDING, Variable, added, held, identity, joined, variable
from gradus.foundations.trees import leaves, mapped

Consumers = dict[Variable, list[tuple[Variable, int]]]
_WATCHED: ContextVar[bool] = ContextVar("watched", default=False)  # whether another derivative is being taken outside


def descendants(sources: Iterable[Variable], z: Variable) -> Consumers:
    """Return the nodes on paths from ``sources`` to ``z`` (the book's G′), in order, each with its consumers."""
    ancestors, found = {z}, [z]
    while found:
        new = {x for x in found.pop().inputs if x not in ancestors}
        ancestors |= new
        found += new
    useful: Consumers = {source: [] for source in sources}
    for node in sorted(ancestors, key=lambda v: v.number):
        for i, x in enumerate(node.inputs):
            if x in useful:
                useful.setdefault(node, [])
                useful[x].append((node, i))
    return useful


def build_gradient(v: Variable, consumers: Consumers, table: Mapping[Variable, Variable]) -> Variable:
    """Return the gradient at ``v``: the sum of what comes back from each consumer (algorithm 6.6).

    The book's subroutine calls itself; here `backpropagate` has been at the consumers already, and no stack overflows.
    """
    return added(c.operation.bprop(i, table[c], c, *c.inputs, **c.settings) for c, i in consumers[v] if c.operation)


def backpropagate(
    z: Variable, targets: Iterable[Variable], seed: Any = None, *, record: bool = False
) -> dict[Variable, Variable]:
    """Return the book's ``grad_table``: ∂z/∂x of every ``x`` in ``targets`` and every node between (algorithm 6.5).

    Parameters
    ----------
    z : Variable
        The end of the graph: a scalar, unless ``seed`` is given.
    targets : iterable of Variable
        Where gradients are wanted; zeros where ``z`` does not depend on one.
    seed : array or Variable of z's shape, optional
        The gradient at ``z``, by default 1.
    record : bool
        Whether the gradients remember how they were computed, so that they can be differentiated again.

    Examples
    --------
    >>> x = Variable(3.0)
    >>> backpropagate(x**2 + x, [x])[x]
    Variable(7.)
    """
    if seed is None and z.size != 1:
        raise InputError("a scalar to differentiate", f"shape {z.shape}", "sum it, or pass a seed, or use jacobian")
    seed = variable(np.ones(z.shape) if seed is None else seed)
    if seed.shape != z.shape:
        raise InputError(f"a seed of the output's shape {z.shape}", f"{seed.shape}", "give each output its gradient")
    targets = tuple(targets)
    consumers = descendants(targets, z)
    table = {z: seed}
    with held(RECORDING, record):
        for v in sorted(consumers, key=lambda v: v.number, reverse=True):
            if v is not z:
                table[v] = build_gradient(v, consumers, table) if consumers[v] else Variable(np.zeros(v.shape))
    return table


def pushforward(z: Variable, tangents: Mapping[Variable, Any], *, record: bool = False) -> Variable:
    """Return how fast ``z`` moves as sources move along their tangents: forward mode, one sweep from left to right.

    Parameters as in `backpropagate`. Better than it where outputs outnumber inputs (§6.5.9).
    """
    table = {source: variable(tangent) for source, tangent in tangents.items()}
    for source, tangent in table.items():
        if source.shape != tangent.shape:
            raise InputError(f"a tangent of shape {source.shape}", str(tangent.shape), "give each entry its speed")
    with held(RECORDING, record):
        for v in sorted(descendants(table, z), key=lambda v: v.number):
            if v not in table and v.operation:
                table[v] = v.operation.jvp(tuple(map(table.get, v.inputs)), v, *v.inputs, **v.settings)
    return table[z] if z in table else Variable(np.zeros(z.shape))


def grad(f: Callable[..., Any], wrt: int = 0) -> Callable[..., Any]:
    """Return the function that computes the gradient of ``f``; parameters as in `value_and_grad`.

    Examples
    --------
    >>> slope = grad(lambda x: x**3)
    >>> float(slope(2.0)), float(grad(slope)(2.0)), float(grad(grad(slope))(2.0))
    (12.0, 12.0, 6.0)
    """
    both = value_and_grad(f, wrt)
    return lambda *args, **settings: both(*args, **settings)[1]


def value_and_grad(f: Callable[..., Any], wrt: int = 0) -> Callable[..., tuple[Any, Any]]:
    """Return a function that computes ``f`` and its gradient with respect to one argument.

    Parameters
    ----------
    f : callable
        Takes arrays, or dicts, lists and tuples of them; returns a scalar.
    wrt : int
        Which argument, counted from 0. The gradient is built like it, of arrays; in an outer derivative, of variables.

    Examples
    --------
    >>> value_and_grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 5.0})
    (np.float64(10.0), {'a': np.float64(5.0), 'b': np.float64(2.0)})
    """

    def derived(*args: Any, **settings: Any) -> tuple[Any, Any]:
        with _watching(args) as keep:
            if wrt >= len(args):
                raise InputError(f"an argument number {wrt} to differentiate by", f"{len(args)} arguments", "set wrt")
            argument, sources = _sources(args[wrt])
            z = variable(f(*args[:wrt], argument, *args[wrt + 1 :], **settings))
        table = backpropagate(z, sources, record=keep)
        return _bare(z, keep), mapped(lambda x: _bare(table[x], keep), argument)

    return derived


def vjp(f: Callable[..., Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return ``f(x)``, and the function that takes a gradient at the output back to ``x``: G ↦ Gᵀ ∂f/∂x."""
    with _watching(x) as keep:
        argument, sources = _sources(x)
        z = variable(f(argument))

    def pull(G: Any) -> Any:
        table = backpropagate(z, sources, G, record=keep)
        return mapped(lambda source: _bare(table[source], keep), argument)

    return _bare(z, keep), pull


def jvp(f: Callable[..., Any], x: Any, tangent: Any) -> tuple[Any, Any]:
    """Return ``f(x)`` and its derivative along the tangent, ∂f/∂x · t, in forward mode."""
    with _watching((x, tangent)) as keep:
        argument, sources = _sources(x)
        z = variable(f(argument))
    moved = pushforward(z, dict(zip(sources, leaves(tangent), strict=True)), record=keep)
    return _bare(z, keep), _bare(moved, keep)


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """Return the product Hv of the Hessian of ``f`` with a vector, without the Hessian (§6.5.10, eq. 6.59)."""
    return jvp(lambda x: grad(f)(x), x, v)[1]


def jacobian(f: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return the function that computes all ∂y_i/∂x_j, of shape (*y.shape, *x.shape): by rows or columns, the fewer."""

    def derived(x: Any) -> Any:
        with _watching(x) as keep:
            source = identity(x)
            z = variable(f(source))
        if by_rows := z.size <= source.size:
            rows = (unit.reshape(z.shape) for unit in np.eye(z.size))
            lines = [backpropagate(z, [source], row, record=keep)[source] for row in rows]
        else:
            columns = (unit.reshape(source.shape) for unit in np.eye(source.size))
            lines = [pushforward(z, {source: column}, record=keep) for column in columns]
        matrix = joined(*(line.reshape(1, -1) for line in lines), axis=0)
        return _bare((matrix if by_rows else matrix.T).reshape(z.shape + source.shape), keep)

    return derived


def hessian(f: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return the function that computes all second derivatives of a scalar function: the Jacobian of its gradient."""
    return jacobian(grad(f))


@contextmanager
def _watching(args: Any) -> Iterator[bool]:
    """Tell whether somebody outside differentiates too: then the derivatives computed here are recorded."""
    outside = _WATCHED.get() or any(isinstance(leaf, Variable) for leaf in leaves(args))
    with held(_WATCHED, True), held(RECORDING, True):
        yield outside


def _sources(tree: Any) -> tuple[Any, list[Variable]]:
    """Return the argument with fresh nodes for leaves: the same variable may be an argument inside and outside."""
    fresh = mapped(identity, tree)
    return fresh, leaves(fresh)


def _bare(x: Variable, keep: bool) -> Any:
    return x if keep else x.value[()]
