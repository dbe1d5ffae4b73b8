"""The way from a living network, loss and optimizer to the expressions of the script that make them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gradus.practice.doctor.patient import optimizers_of
from gradus.practice.doctor.program import Function, Program, argument, called

__all__ = ["WIDTHS", "Guide", "of_self"]

STEPS = 8
WIDTHS = {"Linear": 1, "LazyLinear": 0, "Conv1d": 1, "Conv2d": 1, "Conv3d": 1, "LSTM": 1, "GRU": 1, "RNN": 1}


class Guide:
    """Knows the way from a cause and a place to a line."""

    def __init__(self, program: Program, build: Callable[..., Any], given: Mapping[str, Any]) -> None:
        self.program, self.given = program, given
        self.build = program.function(build)
        self.parts = program.parts(build)
        self.network: nn.Module = given["network"]
        self.step, self.evaluate, self.loss = (self._source(given.get(k)) for k in ("step", "evaluate", "loss"))
        self.loss = self.loss or self._source(given.get("objective"))
        self.forwards = program.forwards(self.network)

    def _source(self, given: Any) -> Function | None:
        return None if given is None else self.program.function(given)

    # -- parts of the program ------------------------------------------------------------------------------------

    def entry(self, key: str) -> int | None:
        """Return the line where a part of what build returns gets its value."""
        expr = self.parts.get(key)
        if expr is None:
            return None
        end = self.program.value(expr)
        return end.lineno

    def optimizer(self, *options: str) -> ast.Call | None:
        """Return the call that makes the optimizer, where there is one of its kind."""
        kinds = {type(o).__name__ for o in optimizers_of(self.given["optimizer"])}
        calls = [c for kind in kinds for c in self.program.calls(kind)]
        return calls[0] if len(calls) == 1 else None

    def setting(self, call: ast.Call | None, place: int, name: str) -> int | None:
        """Return the line of the value that a call gets, or of the call."""
        if call is None:
            return None
        found = argument(call, place, name)
        if found is None:
            return call.lineno
        value = self.program.value(found)
        return value.lineno if isinstance(value, ast.Constant | ast.UnaryOp | ast.BinOp) else found.lineno

    def made(self, path: str) -> ast.expr | None:
        """Return the expression that makes a layer; of a container that cannot be followed, the container's."""
        module: Any = self.network
        expr: ast.expr | None = self.program.value(self.parts["network"]) if "network" in self.parts else None
        for name in path.split("."):
            if not isinstance(module, nn.Module):
                break
            found = self._child(module, name, expr)
            children = dict(module.named_children()) | dict(module.named_parameters(recurse=False))
            if found is None and name not in children:
                return None
            expr, module = found or expr, children.get(name)
        return expr

    def _child(self, module: nn.Module, name: str, expr: ast.expr | None) -> ast.expr | None:
        for source in self.program.families(module):
            given = [
                s.value for s in ast.walk(source)
                if isinstance(s, ast.Assign) and any(of_self(t) == name for t in s.targets)
            ]  # fmt: skip
            if given:
                return self.program.value(given[-1]) if isinstance(given[-1], ast.Name) else given[-1]
        if isinstance(expr, ast.Call) and called(expr) in self.program.top:
            ends = [r.value for r in ast.walk(self.program.top[called(expr)]) if isinstance(r, ast.Return)]
            inside = self.program.value(ends[0]) if len(ends) == 1 and ends[0] is not None else None
            element = _element(self.program, inside, name)
            if element is not None:
                return element
        return _element(self.program, expr, name)

    def layer(self, path: str) -> int | None:
        """Return the line that makes a layer or a parameter."""
        if not path or path == "network":
            return None
        names = path.partition(" ")[0]
        known = {n for n, _ in self.network.named_modules()} | {n for n, _ in self.network.named_parameters()}
        owners = {name.rpartition(".")[0] for name in known}
        if names not in known | owners and not any(hasattr(m, names) for m in self.network.modules()):
            return None
        found = self.made(names)
        if found is None and "." not in names:  # a list of layers that the network does not know
            found = next((e for m in self.network.modules() if (e := self._child(m, names, None)) is not None), None)
        return None if found is None else found.lineno

    # -- statements ----------------------------------------------------------------------------------------------

    def within(self, node: Function | None, *names: str) -> list[ast.Call]:
        """Return the calls of some names in a function and in what that calls, in order."""
        if node is None:
            return []
        nodes = self.program.reached([node])
        found = [c for name in names for c in self.program.calls(name, nodes)]
        return sorted({c: None for c in found}, key=lambda c: c.lineno)

    def rows(self, part: str, what: int, *, follow: bool = True) -> int | None:
        """Return the line where a part's rows get their last form: ``what`` is 0 for inputs, -1 for targets.

        With ``follow``, into the functions of the script that make them.
        """
        expr = self.parts.get(part)
        for _ in range(STEPS):
            match expr:
                case None:
                    return None
                case ast.Call(args=elts) if called(expr) == "TensorDataset":
                    after: Any = elts[what] if elts else None
                case ast.Tuple(elts=elts) | ast.List(elts=elts):
                    after = None if any(isinstance(e, ast.Starred) for e in elts) or not elts else elts[what]
                case ast.Name():
                    after = self._origin(expr, follow)
                case ast.Call() if called(expr) in self.program.top and follow:
                    after = self._returned(expr, None)
                case _:
                    after = self._inner(expr)
            if after is None:
                return expr.lineno
            if isinstance(after, int):
                return after
            expr = after
        return None

    def _origin(self, name: ast.Name, follow: bool) -> ast.expr | int | None:
        """Return what a name was last given, or the line where, if that is no function of the script."""
        before = [s for s in self.program.assignments(name.id, self.program.scope(name)) if s.lineno <= name.lineno]
        last = before[-1] if before else None
        if last is None:  # a parameter
            return self.program.statement(name).lineno
        if not isinstance(last, ast.Assign) or len(last.targets) != 1 or not follow:
            return last.lineno
        place, value = _position(last.targets[0], name.id), last.value
        if place is not None and isinstance(value, ast.Tuple) and len(value.elts) > place:
            value = value.elts[place]
        if isinstance(value, ast.Tuple):
            return value
        if isinstance(value, ast.Call) and called(value) in self.program.top:
            return self._returned(value, place) or last.lineno
        return last.lineno

    def _inner(self, expr: ast.expr) -> ast.expr | None:
        """Return what a slice, a conversion or a method is of."""
        match expr:
            case ast.Subscript(value=inner):
                return inner
            case ast.Call(args=[inner, *_]) if called(expr) in ("tensor", "from_numpy", "as_tensor", "DataLoader"):
                return inner
            case ast.Call(func=ast.Name(), args=[ast.Name() as inner]):
                return inner
            case ast.Call(func=ast.Attribute(value=inner)):
                module = isinstance(inner, ast.Name) and not _known(self.program, inner)
                return None if module else inner
        return None

    def _returned(self, call: ast.Call, place: int | None) -> ast.expr | None:
        """Return what a function of the script returns, or the part of it at a place of a tuple."""
        node = self.program.top[called(call)]
        ends = [r.value for r in ast.walk(node) if isinstance(r, ast.Return) and self.program.scope(r) is node]
        if len(ends) != 1 or ends[0] is None:
            return None
        if place is None:
            return ends[0]
        return ends[0].elts[place] if isinstance(ends[0], ast.Tuple) and len(ends[0].elts) > place else None

    def answer(self) -> int | None:
        """Return the line where the network gives its output: its last activation, or what forward returns."""
        module, path = self.network, ""
        for _ in range(8):
            source = next(self.program.families(module), None)
            if source is None:
                names = [n for n, m in module.named_children() if not isinstance(m, nn.Flatten | nn.Unflatten)]
                if not isinstance(module, nn.Sequential) or not names:
                    return self.layer(path)
                path, module = f"{path}.{names[-1]}".strip("."), module.get_submodule(names[-1])
                continue
            node = self.program.function(module)
            ends = [r for r in ast.walk(node) if isinstance(r, ast.Return)] if node is not None else []
            if len(ends) != 1 or ends[0].value is None:
                return None
            inner = ends[0].value
            name = of_self(inner.func) if isinstance(inner, ast.Call) else None
            child = dict(module.named_children()).get(name or "")
            if not isinstance(child, nn.Sequential) and not (child is not None and self.program.class_of(child)):
                return ends[0].lineno
            if isinstance(child, nn.Sequential) and not _activates(child):
                return ends[0].lineno
            path, module = f"{path}.{name}".strip("."), child
        return None


def _known(program: Program, name: ast.Name) -> bool:
    """Whether a name is that of a value, and not of a module such as torch."""
    return bool(program.assignments(name.id, program.scope(name)))


def of_self(node: ast.AST) -> str | None:
    """Return the name of an attribute of ``self``; None of anything else.

    Examples
    --------
    >>> of_self(ast.parse("self.body", mode="eval").body)
    'body'
    """
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return None


def _position(target: ast.expr, name: str) -> int | None:
    """Where in a tuple of targets a name stands; None of a single target, or of one deeper inside."""
    if not isinstance(target, ast.Tuple | ast.List):
        return None
    return next((k for k, t in enumerate(target.elts) if isinstance(t, ast.Name) and t.id == name), None)


def _activates(module: nn.Module) -> bool:
    children = list(module.children())
    return bool(children) and type(children[-1]).__module__ == "torch.nn.modules.activation"


def _element(program: Program, expr: ast.expr | None, name: str) -> ast.expr | None:
    """Return the element of a Sequential or ModuleList that is written out."""
    if not isinstance(expr, ast.Call) or called(expr) not in ("Sequential", "ModuleList") or not name.isdigit():
        return None
    elements: list[ast.expr] = list(expr.args)
    if len(elements) == 1 and isinstance(elements[0], ast.Starred):
        inside = program.value(elements[0].value)
        listed = elements[0].value
        elements = list(inside.elts) if isinstance(inside, ast.List) else []
        if isinstance(listed, ast.Name) and inside is not listed:
            elements += _appended(program, listed)
    elif len(elements) == 1 and isinstance(elements[0], ast.List):
        elements = list(elements[0].elts)
    if any(isinstance(e, ast.Starred) for e in elements[: int(name) + 1]) or int(name) >= len(elements):
        return None
    return elements[int(name)]


def _appended(program: Program, listed: ast.Name) -> list[ast.expr]:
    """Return what is appended to a list; starred, that is unknown, from the first loop or condition on."""
    scope, found = program.scope(listed), []
    for node in getattr(scope, "body", []):
        whole = [c for c in ast.walk(node) if isinstance(c, ast.Call) and called(c) in ("append", "extend", "insert")]
        own = [c for c in whole if isinstance(c.func, ast.Attribute) and ast.dump(c.func.value) == ast.dump(listed)]
        for call in own:
            plain = isinstance(node, ast.Expr) and called(call) == "append"
            found.append(call.args[0] if plain else ast.Starred(call, ast.Load()))
    return found
