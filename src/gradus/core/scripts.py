"""Functions in a user's script: named as ``script.py:function``, loaded, and blamed by the line."""

from __future__ import annotations

import ast
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradus.core.errors import InputError, nearest

__all__ = ["function_of", "last_return", "line_of", "split_place"]

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def split_place(place: str) -> tuple[Path, str]:
    """Split ``script.py:function`` into its two parts; the function is ``build`` where none is named.

    Examples
    --------
    >>> split_place("train.py:make")[1], split_place("train.py")[1]
    ('make', 'build')
    """
    path, colon, name = place.rpartition(":")
    if colon and path.endswith(".py") and name.isidentifier():
        return Path(path), name
    return Path(place), "build"


def function_of(path: Path, name: str) -> Callable[..., Any]:
    """Run a script as a module, which stays in ``sys.modules`` under the script's name, and return its function.

    Raises
    ------
    InputError
        If it is no Python script, or has no such function. What the script itself raises goes on its way.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError("a Python script", path.name, "pass a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == path.stem]
        mend = f"{nearest(name, own)}name one of its functions, as {path.name}:FUNCTION"
        raise InputError(f"a function {name!r} in {path.name}", ", ".join(own[:8]) or "no functions", mend)
    return function


def line_of(error: BaseException, path: Path) -> str:
    """Return the script's last line on the way to an error, in words; the script's name where there is none."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines = [error.lineno]
    return f"line {lines[-1]} of {path.name}" if lines else path.name


def last_return(path: Path, name: str) -> str:
    """Return the line of the last ``return`` of a function at the top of a script, in words; empty where none is."""
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            inner = {n for f in ast.walk(node) if f is not node and isinstance(f, FUNCTIONS) for n in ast.walk(f)}
            lines = [n.lineno for n in ast.walk(node) if isinstance(n, ast.Return) and n not in inner]
            return f"line {max(lines, default=node.lineno)} of {path.name}"
    return ""
