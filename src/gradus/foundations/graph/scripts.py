"""The graph of what a function in a script returns; whatever the script does wrong is told with its line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gradus.core.apart import Script, ask_apart, serve
from gradus.core.errors import InputError
from gradus.foundations.graph.picture import Edge, Group, Node, Picture, Summary
from gradus.foundations.graph.variables import Variable

__all__ = ["picture_of_script"]

ROWS = 8  # of a data set: enough to see, few enough to show
SECONDS = 60.0
NUMBERS = ("low", "high", "mean", "spread")
RETURNS = "(network, inputs), (network, inputs, loss), a dict as for `gradus doctor`, a tensor or a Variable"


def picture_of_script(place: str, *, max_time: float = SECONDS) -> Picture:
    """Return the graph of ``script.py:function``, which runs in a process of its own.

    The function takes no arguments and returns a network with inputs (and a loss of its output), or what it computed
    itself, a tensor or a `Variable`; or a dict with ``network``, ``train`` and ``loss`` or ``objective``.

    Parameters
    ----------
    place : str
        ``script.py:function``; the function is ``build`` where none is named.
    max_time : float
        Most time that the script may take, in seconds.

    Raises
    ------
    DataError
        If the script is missing, fails, leaves, writes, hangs or returns something else; with its line.
    """
    wanted = "a run's folder, or script.py:function"
    return _read(ask_apart(__name__, place, seconds=max_time, deed="be drawn", wanted=wanted))


def _work(script: Script) -> dict[str, Any]:
    function = script.function()
    script.stage = "be called"
    needed = [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        mend = "give them defaults, or write a function that calls it"
        raise InputError(f"a function {script.name} without arguments", f"{', '.join(needed)} to be given", mend)
    script.stage = f"return from {script.name}"
    made = function()
    script.stage = "run forwards and backwards"
    return _picture(function, made, f"{script.path.name}:{script.name}").facts()


def _read(facts: Mapping[str, Any]) -> Picture:
    """Return the picture of what `Picture.facts` gave, after JSON."""

    def summary(given: Mapping[str, Any] | None) -> Summary | None:
        if given is None:
            return None
        # what is infinite is a word in JSON
        numbers = {name: None if given[name] is None else float(given[name]) for name in NUMBERS}
        return Summary(**{**given, **numbers, "shape": tuple(given["shape"])})

    nodes = []
    for node in facts["nodes"]:
        others = [found for each in node["others"] if (found := summary(each)) is not None]
        seen = {"value": summary(node["value"]), "gradient": summary(node["gradient"]), "others": others}
        nodes.append(Node(**{**node, **seen}))
    edges = [Edge(edge["source"], edge["target"], tuple(edge["shape"])) for edge in facts["edges"]]
    return Picture(facts["title"], nodes, edges, [Group(**group) for group in facts["groups"]], facts["notes"])


def _picture(function: Callable[[], Any], made: Any, title: str) -> Picture:
    from torch import Tensor, nn

    from gradus.foundations.graph.recording import picture_of_function, picture_of_network
    from gradus.foundations.graph.traced import picture_of_variable

    if isinstance(made, Variable):
        return picture_of_variable(made, title=title)
    if isinstance(made, Mapping) and isinstance(made.get("network"), nn.Module):
        return _of_task(made, title)
    parts = made if isinstance(made, tuple | list) else (made,)
    if parts and isinstance(parts[0], nn.Module):
        if len(parts) not in (2, 3):
            received = "a network without inputs" if len(parts) == 1 else f"{len(parts)} things"
            raise InputError(f"{title} to return {RETURNS}", received, "return (network, inputs)")
        loss = parts[2] if len(parts) == 3 else None
        if loss is not None and not callable(loss):
            raise InputError("a loss as a function of the output", type(loss).__name__, "return a function third")
        return picture_of_network(parts[0], parts[1], loss=loss, title=title)
    if parts and all(isinstance(part, Tensor) for part in parts):
        return picture_of_function(function, title=title)
    raise InputError(f"{title} to return {RETURNS}", type(made).__name__, "see `gradus graph --help`")


def _of_task(task: Mapping[str, Any], title: str) -> Picture:
    """Return the graph of one small batch of a dict as `gradus doctor` takes it."""
    from torch import Tensor

    from gradus.foundations.graph.recording import picture_of_function, picture_of_network

    network, train = task["network"], task.get("train")
    if train is None:
        raise InputError("data under 'train'", "none", "add (inputs, targets) or a DataLoader")
    whole = isinstance(train, tuple | list) and all(isinstance(part, Tensor) for part in train)
    batch = train if whole else next(iter(train))
    if isinstance(batch, tuple | list):
        batch = tuple(part[:ROWS] if isinstance(part, Tensor) and part.ndim else part for part in batch)
    objective, loss = task.get("objective"), task.get("loss")
    if objective is not None:
        return picture_of_function(lambda *parts: objective(network, parts), *batch, network=network, title=title)
    inputs, targets = batch if isinstance(batch, tuple) and len(batch) == 2 else (batch, None)
    measure = None if loss is None or targets is None else lambda output: loss(output, targets)
    return picture_of_network(network, inputs, loss=measure, title=title)


if __name__ == "__main__":
    import torch  # noqa: F401 - before the script, so that what it writes by torch is seen

    serve(_work)
