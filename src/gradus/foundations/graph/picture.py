"""What a picture of a graph holds, whatever made the graph: nodes, edges, groups, and numbers about each.

Nothing here draws and nothing here knows of PyTorch: the engine's graphs and recordings of PyTorch both become a
`Picture`, which `page` and `drawing` show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from gradus.core.errors import InputError

__all__ = ["Edge", "Group", "Kind", "Node", "Picture", "Summary", "summarize"]

Kind = Literal["input", "parameter", "buffer", "constant", "operation"]
SMALL = 64  # entries that are shown one by one
SAMPLED = 1 << 20  # entries beyond which a histogram is drawn from an even sample
BINS = 24


@dataclass(frozen=True)
class Summary:
    """An array in a few numbers.

    Parameters
    ----------
    shape, dtype : tuple of int, str
        As the array has them.
    low, high, mean, spread : float, optional
        Least, largest, mean and standard deviation of the finite entries; None where there is none.
    zeros : float
        Share of the entries that are exactly zero.
    broken : int
        How many are not a number or infinite.
    histogram : list of int
        Counts in bins of equal width from ``low`` to ``high``; empty where those are equal.
    values : list, optional
        All entries, nested like the array, where they are few.
    """

    shape: tuple[int, ...]
    dtype: str
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    spread: float | None = None
    zeros: float = 0.0
    broken: int = 0
    histogram: list[int] = field(default_factory=list)
    values: Any = None


def summarize(array: np.ndarray, dtype: str | None = None) -> Summary:
    """Return an array in a few numbers.

    Examples
    --------
    >>> summarize(np.array([0.0, 1.0, np.inf, 2.0])).mean
    1.0
    """
    flat = np.asarray(array, dtype=np.float64).reshape(-1)
    finite = flat[np.isfinite(flat)]
    facts: dict[str, Any] = {}
    if finite.size:
        sample = finite[:: max(1, finite.size // SAMPLED)]
        low, high = float(finite.min()), float(finite.max())
        with np.errstate(over="ignore", invalid="ignore"):
            if high > low and np.isfinite(high - low):
                places = ((sample - low) / (high - low) * BINS).astype(int).clip(0, BINS - 1)
                facts["histogram"] = np.bincount(places, minlength=BINS).tolist()
            mean, spread = float(finite.mean()), float(finite.std())
        facts |= {"low": low, "high": high, "mean": mean, "spread": spread}
    return Summary(
        shape=tuple(array.shape),
        dtype=dtype or str(array.dtype),
        zeros=float((flat == 0).mean()) if flat.size else 0.0,
        broken=int(flat.size - finite.size),
        values=np.asarray(array).tolist() if flat.size <= SMALL else None,
        **facts,
    )


@dataclass
class Node:
    """One operation or one array at the edge of the graph.

    Parameters
    ----------
    number : int
        Its place in the order of computation, and its name in edges.
    kind : str
        What it is.
    title : str
        The operation, or the name of an input or parameter.
    group : str
        Key of the group it lies in; empty for none.
    value, gradient : Summary, optional
        What came out, and the gradient of the end of the graph with respect to that.
    others : list of Summary
        Further outputs, where an operation has several.
    seconds, backward_seconds : float, optional
        Time of the operation and of its backward pass.
    memory : int
        Bytes that the output takes beyond what was there.
    detail : str
        Settings of the operation, or the full name of a parameter.
    where : str
        ``file:line`` of the code that called it.
    mark : str
        What somebody wants said about it.
    """

    number: int
    kind: Kind
    title: str
    group: str = ""
    value: Summary | None = None
    gradient: Summary | None = None
    others: list[Summary] = field(default_factory=list)
    seconds: float | None = None
    backward_seconds: float | None = None
    memory: int = 0
    detail: str = ""
    where: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Edge:
    """The output of one node is an input of another."""

    source: int
    target: int
    shape: tuple[int, ...] = ()


@dataclass
class Group:
    """A module, or a function made of operations: it opens and closes in the page.

    Parameters
    ----------
    key : str
        Unique; a module that is called twice is two groups.
    parent : str
        Key of the group around it; empty for none.
    title : str
        Its name inside the parent, as ``layer1.0``.
    kind : str
        Its class.
    path : str
        The full name of the module.
    parameters : int
        Trained numbers inside it.
    mark : str
        What somebody wants said about it.
    """

    key: str
    parent: str
    title: str
    kind: str = ""
    path: str = ""
    parameters: int = 0
    mark: str = ""


@dataclass
class Picture:
    """A graph to look at.

    Parameters
    ----------
    title : str
        What it shows.
    nodes : list of Node
        In the order of computation.
    edges : list of Edge
        From earlier to later nodes.
    groups : list of Group
        Parents before children.
    notes : list of str
        Sentences on what was done to obtain it.
    """

    title: str
    nodes: list[Node]
    edges: list[Edge]
    groups: list[Group]
    notes: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return everything as dictionaries, lists, words and finite numbers, as JSON has them."""
        return _finite(asdict(self))

    def marked(self, marks: Mapping[str, str]) -> Picture:
        """Set a text at places: nodes by number or title, parameters and modules by their full names.

        Parameters
        ----------
        marks : mapping
            Place to text.

        Raises
        ------
        InputError
            If there is no such place.
        """
        for place, text in marks.items():
            found: list[Node | Group] = [g for g in self.groups if place in (g.path, g.key)]
            found = found or [n for n in self.nodes if place in (str(n.number), n.title, n.detail)]
            if not found:
                known = [g.path for g in self.groups if g.path] + [n.detail or n.title for n in self.nodes]
                near = get_close_matches(place, known, n=1) or known[:1]
                raise InputError("a module, parameter or node of the graph", repr(place), f"for example {near[0]!r}")
            for one in found:
                one.mark = f"{one.mark}; {text}" if one.mark else text
        return self


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value
