"""The engine's graphs as pictures: what a function of arrays computed, with the gradient at every node."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradus.foundations.graph.derivatives import backpropagate
from gradus.foundations.graph.picture import Edge, Group, Node, Picture, summarize
from gradus.foundations.graph.variables import RECORDING, Variable, held, variable

__all__ = ["picture_of_call", "picture_of_variable"]


def picture_of_call(f: Callable[..., Any], *arguments: Any, title: str = "") -> Picture:
    """Run a function of arrays and return the graph of what it computed.

    Parameters
    ----------
    f : callable
        Written with the engine's operations; returns an array.
    *arguments : array or dict, list, tuple of arrays
        Where it is run; each array becomes an input, named as in the signature.
    title : str
        What the picture shows, by default the function's name.

    Examples
    --------
    >>> picture = picture_of_call(lambda x, y: (x * y).sum(), [1.0, 2.0], [3.0, 4.0])
    >>> [(node.title, node.gradient.values) for node in picture.nodes if node.kind == "input"]
    [('x', [3.0, 4.0]), ('y', [1.0, 2.0])]
    """
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):  # some functions of C have none
        names = []
    names += [f"argument {i}" for i in range(len(names), len(arguments))]
    with held(RECORDING, True):
        inputs = [_named(argument, name) for argument, name in zip(arguments, names, strict=False)]
        z = variable(f(*inputs))
    return picture_of_variable(z, title=title or getattr(f, "__name__", "function"))


def _named(argument: Any, name: str) -> Any:
    if isinstance(argument, dict):
        return {key: _named(each, f"{name}.{key}") for key, each in argument.items()}
    if isinstance(argument, list | tuple) and any(
        isinstance(each, dict | list | tuple | np.ndarray) for each in argument
    ):
        return type(argument)(_named(each, f"{name}[{i}]") for i, each in enumerate(argument))
    return argument if isinstance(argument, Variable) else Variable(argument, name)


def picture_of_variable(z: Variable, title: str = "graph") -> Picture:
    """Return the graph that led to a variable; parameters as in `picture_of_call`.

    Each operation is run once more to take its time.
    """
    order = _ancestors(z)
    shown = [v for v in order if v.operation or v.name or v.size > 1]  # plain constants stand in the words of a node
    numbers = {v: number for number, v in enumerate(shown)}
    table, seconds = _backwards(z, [v for v in shown if not v.operation])
    groups = _groups(shown)
    nodes, edges = [], []
    for v, number in numbers.items():
        group = _key(v)
        if v.operation is None:
            node = Node(number, "input" if v.name else "constant", v.name or "constant", group)
        else:
            node = Node(number, "operation", v.operation.name, group, detail=_words(v))
            node.seconds, node.backward_seconds, node.memory = _timed(v), seconds.get(v), v.value.nbytes
            edges += [Edge(numbers[x], number, x.shape) for x in v.inputs if x in numbers]
        node.value = summarize(v.value)
        node.gradient = summarize(table[v].value) if v in table else None
        nodes.append(node)
    return Picture(title, nodes, edges, groups, [] if z.size == 1 else ["gradients are those of the sum of the output"])


def _ancestors(z: Variable) -> list[Variable]:
    seen, found = {z}, [z]
    while found:
        new = {x for x in found.pop().inputs if x not in seen}
        seen |= new
        found += new
    return sorted(seen, key=lambda v: v.number)


def _backwards(z: Variable, leaves: list[Variable]) -> tuple[dict[Variable, Variable], dict[Variable, float]]:
    """Return the gradient of every node, and the time each operation takes to send its own back."""
    table = backpropagate(z, leaves, np.ones(z.shape))
    seconds = {}
    with held(RECORDING, False):
        for v in table:
            if v.operation:
                start = time.perf_counter()
                for i, x in enumerate(v.inputs):
                    if x in table:
                        v.operation.bprop(i, table[v], v, *v.inputs, **v.settings)
                seconds[v] = time.perf_counter() - start
    return table, seconds


def _timed(v: Variable) -> float:
    arrays = [x.value for x in v.inputs]
    start = time.perf_counter()
    if v.operation:
        v.operation.f(*arrays, **v.settings)
    return time.perf_counter() - start


def _words(v: Variable) -> str:
    """Return an operation as it could be written: inputs as dots, constants and settings as themselves."""
    shown = ["·" if x.operation or x.name or x.size > 1 else f"{float(x):g}" for x in v.inputs]
    given = [f"{name}={_short(value)}" for name, value in v.settings.items()]
    return f"{v.operation.name if v.operation else ''}({', '.join(shown + given)})"


def _short(value: Any) -> str:
    text = f"array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _key(v: Variable) -> str:
    return "/".join(f"{name}#{number}" for name, number in v.scope)


def _groups(shown: list[Variable]) -> list[Group]:
    found: dict[str, Group] = {}
    for v in shown:
        for key, parent, name in _levels(v):
            found.setdefault(key, Group(key, parent, name, "function", name))
    return list(found.values())


def _levels(v: Variable) -> Iterator[tuple[str, str, str]]:
    parent = ""
    for name, number in v.scope:
        key = f"{parent}/{name}#{number}" if parent else f"{name}#{number}"
        yield key, parent, name
        parent = key
