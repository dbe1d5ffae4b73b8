"""Arguments built of dicts, lists and tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["leaves", "mapped", "places", "rebuilt"]


def mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to every leaf; a list of plain numbers is one leaf, an array.

    Examples
    --------
    >>> mapped(lambda x: x + 1, {"a": 1, "b": ({"c": 2.0},)})
    {'a': 2, 'b': ({'c': 3.0},)}
    """
    if isinstance(tree, dict):
        return {name: mapped(f, branch) for name, branch in tree.items()}
    if isinstance(tree, list | tuple) and not all(isinstance(branch, int | float) for branch in tree):
        branches = [mapped(f, branch) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return f(tree)


def leaves(tree: Any) -> list[Any]:
    """Return all leaves in order.

    Examples
    --------
    >>> leaves({"a": 1.0, "b": ["c", 2.0]})
    [1.0, 'c', 2.0]
    """
    found: list[Any] = []
    mapped(found.append, tree)
    return found


def rebuilt(tree: Any, new: Iterable[Any]) -> Any:
    """Return a tree built like another, with other leaves.

    Examples
    --------
    >>> rebuilt({"a": 1.0, "b": ["c", 2.0]}, "xyz")
    {'a': 'x', 'b': ['y', 'z']}
    """
    rest = iter(new)
    return mapped(lambda _: next(rest), tree)


def places(tree: Any, start: str = "") -> list[str]:
    """Return where each leaf is, in order, as it would be written in Python.

    Examples
    --------
    >>> places({"a": 1.0, "b": ["c", 2.0]})
    ["['a']", "['b'][0]", "['b'][1]"]
    """
    if isinstance(tree, dict):
        return [place for name, branch in tree.items() for place in places(branch, f"{start}[{name!r}]")]
    if isinstance(tree, list | tuple) and not all(isinstance(branch, int | float) for branch in tree):
        return [place for i, branch in enumerate(tree) for place in places(branch, f"{start}[{i}]")]
    return [start]
