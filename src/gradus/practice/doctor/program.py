"""The source of a program that is examined, to find the line that makes a thing of it.

Nothing here is needed to examine: where the source is missing, or could mean several things, there is no line.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import nn

__all__ = ["Function", "Program", "argument", "called", "entries", "only"]

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
STEPS = 8  # names that are followed from one to the next


class Program:
    """A script's source, and the way from a living object to where it was made.

    Parameters
    ----------
    path : Path
        The script, as its functions' code names it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text("utf-8"))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.classes = {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)}
        self.top = {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}

    # -- from objects to source ----------------------------------------------------------------------------------

    def function(self, given: Any) -> Function | None:
        """Return the source of a function, method, lambda, or of what an object does when it is called."""
        while isinstance(given, functools.partial):
            given = given.func
        if isinstance(given, nn.Module):
            given = type(given).forward
        elif not inspect.isroutine(given) and callable(given):
            given = type(given).__call__
        code = getattr(inspect.unwrap(given), "__code__", None)
        if code is None or Path(code.co_filename) != self.path:
            return None
        found = [
            node for node in ast.walk(self.tree)
            if isinstance(node, Function) and _begin(node) == code.co_firstlineno
            and getattr(node, "name", "<lambda>") == code.co_name
        ]  # fmt: skip
        return found[0] if len(found) == 1 else None

    def class_of(self, given: Any) -> ast.ClassDef | None:
        """Return the source of an object's class, where the script defines it."""
        kind = type(given)
        return self.classes.get(kind.__name__) if kind.__module__ == self.path.stem else None

    def families(self, given: Any) -> Iterator[ast.ClassDef]:
        """Yield the sources of an object's class and of those it inherits from."""
        for kind in type(given).__mro__:
            if kind.__module__ == self.path.stem and kind.__name__ in self.classes:
                yield self.classes[kind.__name__]

    def forwards(self, network: nn.Module) -> list[Function]:
        """Return every function of the script that a pass through the network may run."""
        waiting: list[Function] = []
        owners = {type(m): m for m in network.modules()}
        for module in owners.values():
            kept = [v for v in vars(module).values() if type(v).__module__ == self.path.stem]
            for one in (module, *kept):
                waiting += [m for c in self.families(one) for m in _methods(c) if m.name in ("forward", "__call__")]
        own = {m.name: m for module in owners.values() for c in self.families(module) for m in _methods(c)}
        return self.reached(waiting, own)

    def reached(self, begun: Iterable[Function], methods: dict[str, ast.FunctionDef] | None = None) -> list[Function]:
        """Return functions with those that they call, and those which these call."""
        waiting, found = list(begun), []
        while waiting:
            node = waiting.pop()
            if node in found:
                continue
            found.append(node)
            for call in (c for c in ast.walk(node) if isinstance(c, ast.Call)):
                match call.func:
                    case ast.Name(id=name) if name in self.top:
                        waiting.append(self.top[name])
                    case ast.Attribute(value=ast.Name(id="self"), attr=name) if methods and name in methods:
                        waiting.append(methods[name])
                    case ast.Attribute(value=ast.Name(id=name), attr="apply") if name in self.classes:
                        waiting += [m for m in _methods(self.classes[name]) if m.name == "forward"]
        return found

    # -- what a name stands for ----------------------------------------------------------------------------------

    def scope(self, node: ast.AST) -> ast.AST:
        """Return the function around a node, or the whole script."""
        around = self.parents.get(node)
        while around is not None and not isinstance(around, Function | ast.Module):
            around = self.parents.get(around)
        return around if around is not None else self.tree

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement that a node is part of."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def assignments(self, name: str, scope: ast.AST) -> list[ast.stmt]:
        """Return the statements of a scope that give a name its value, in order."""
        found: list[ast.stmt] = []
        for node in ast.walk(scope):
            if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For | ast.With):
                continue
            if self.scope(node) is scope and name in _targets(node):
                found.append(node)
        return sorted(found, key=lambda node: node.lineno)

    def value(self, node: ast.expr) -> ast.expr:
        """Follow a name to what it stands for: a local, a default, a constant of the script, an entry of a dict."""
        for _ in range(STEPS):
            after = self._step(node)
            if after is None:
                return node
            node = after
        return node

    def _step(self, node: ast.expr) -> ast.expr | None:
        match node:
            case ast.Name(id=name):
                return self._named(name, self.scope(node), node.lineno)
            case ast.Subscript(value=ast.Name() as held, slice=ast.Constant(value=key)):
                return entries(self.value(held)).get(key)
        return None

    def _named(self, name: str, scope: ast.AST, before: int) -> ast.expr | None:
        found = self.assignments(name, scope)
        if scope is not self.tree:
            found = [s for s in found if s.lineno <= before]
        if found:
            last = found[-1]
            if not isinstance(last, ast.Assign | ast.AnnAssign) or (len(found) > 1 and scope is self.tree):
                return None
            parted = any(isinstance(t, ast.Tuple | ast.List) for t in getattr(last, "targets", ()))
            return None if parted else last.value
        if isinstance(scope, Function):
            default = _default(scope, name)
            if default is not None:
                return default
            if name in {a.arg for a in ast.walk(scope.args) if isinstance(a, ast.arg)}:
                return self._handed(scope, name)
            return self._named(name, self.scope(scope), before)
        return None

    def _handed(self, function: Function, name: str) -> ast.expr | None:
        """Return what the only call of a function passes for a parameter."""
        known = getattr(function, "name", "")
        method = isinstance(self.parents.get(function), ast.ClassDef)
        known = self.parents[function].name if method and known == "__init__" else known  # type: ignore[attr-defined]
        calls = [c for c in ast.walk(self.tree) if isinstance(c, ast.Call) and called(c) == known]
        if len(calls) != 1:
            return None
        place = [a.arg for a in [*function.args.posonlyargs, *function.args.args]].index(name) - method
        return argument(calls[0], place, name)

    # -- looking for something -----------------------------------------------------------------------------------

    def calls(self, name: str, within: Iterable[ast.AST] | None = None) -> list[ast.Call]:
        """Return the calls of a function or class by the last part of its name."""
        nodes = [self.tree] if within is None else within
        return [c for node in nodes for c in ast.walk(node) if isinstance(c, ast.Call) and called(c) == name]

    def parts(self, build: Callable[..., Any]) -> dict[str, ast.expr]:
        """Return what ``build`` returns by key, where it can be read off."""
        node = self.function(build)
        for _ in range(STEPS):
            if not isinstance(node, ast.FunctionDef):
                return {}
            ends = [r.value for r in ast.walk(node) if isinstance(r, ast.Return) and self.scope(r) is node and r.value]
            if len(ends) != 1:
                return {}
            found = entries(self.value(ends[0]))
            if isinstance(ends[0], ast.Name):
                for s in ast.walk(node):
                    match s:
                        case ast.Assign(
                            targets=[ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=key))], value=given
                        ) if name == ends[0].id:
                            found[key] = given
            if found:
                return found
            last = self.value(ends[0])
            node = self.top.get(called(last)) if isinstance(last, ast.Call) else None
        return {}


def _begin(node: Function) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [child for child in node.body if isinstance(child, ast.FunctionDef)]


def _targets(node: ast.AST) -> set[str]:
    """Return the names that a statement gives values to."""
    match node:
        case ast.Assign(targets=targets):
            pass
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.For(target=target):
            targets = [target]
        case ast.With(items=items):
            targets = [item.optional_vars for item in items if item.optional_vars is not None]
        case _:
            return set()
    flat = [n for t in targets for n in (ast.walk(t) if isinstance(t, ast.Tuple | ast.List) else [t])]
    return {n.id for n in flat if isinstance(n, ast.Name)}


def _default(function: Function, name: str) -> ast.expr | None:
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    pairs = list(zip(plain[len(plain) - len(given.defaults) :], given.defaults, strict=True))
    pairs += [(a, d) for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True) if d is not None]
    return next((d for a, d in pairs if a.arg == name), None)


def entries(node: ast.expr) -> dict[Any, ast.expr]:
    """Return the entries of a dict that is written out."""
    match node:
        case ast.Dict(keys=keys, values=values):
            return {k.value: v for k, v in zip(keys, values, strict=True) if isinstance(k, ast.Constant)}
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            return {k.arg: k.value for k in keywords if k.arg is not None}
    return {}


def called(node: ast.expr) -> str:
    """Return the last part of the name of what is called; empty where it has none.

    Examples
    --------
    >>> called(ast.parse("torch.optim.Adam(p)", mode="eval").body)
    'Adam'
    """
    match node:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name
    return ""


def argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    """Return an argument of a call by name or place; None where it is not given, or cannot be told."""
    named = next((k.value for k in call.keywords if k.arg == name), None)
    if named is not None or place < 0 or any(isinstance(a, ast.Starred) for a in call.args[: place + 1]):
        return named
    return call.args[place] if place < len(call.args) else None


def only(nodes: Iterable[ast.AST]) -> int | None:
    """Return the line of what was found where that is one line.

    Examples
    --------
    >>> tree = ast.parse("a = 1; b = 2")
    >>> only(tree.body), only([])
    (1, None)
    """
    lines = {node.lineno for node in nodes}  # type: ignore[attr-defined]
    return lines.pop() if len(lines) == 1 else None
