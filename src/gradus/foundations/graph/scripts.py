"""The graph of what a function in a script returns; whatever the script does wrong is told with its line."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gradus.core.errors import DataError, GradusError, InputError
from gradus.core.scripts import function_of, line_of, split_place
from gradus.foundations.graph.picture import Picture
from gradus.foundations.graph.variables import Variable

__all__ = ["picture_of_script"]

ROWS = 8  # of a data set: enough to see, few enough to show
RETURNS = "(network, inputs), (network, inputs, loss), a dict as for `gradus doctor`, a tensor or a Variable"


def picture_of_script(place: str) -> Picture:
    """Return the graph of ``script.py:function``.

    The function takes no arguments and returns a network with inputs (and a loss of its output), or what it computed
    itself, a tensor or a `Variable`; or a dict with ``network``, ``train`` and ``loss`` or ``objective``.

    Parameters
    ----------
    place : str
        ``script.py:function``; the function is ``build`` where none is named.

    Raises
    ------
    DataError
        If the script is missing, fails or leaves, with its line.
    InputError
        If it returns something else.
    """
    path, name = split_place(place)
    if path.suffix != ".py" or not path.is_file():
        raise DataError("a run's folder, or script.py:function", repr(place), "check the name; there is no such script")
    path = path.resolve()
    with _running(path):
        function = _try(path, "be imported", lambda: _function(path, name))
        made = _try(path, f"return from {name}", function)
        return _try(path, "run forwards and backwards", lambda: _picture(function, made, f"{path.name}:{name}"))


@contextlib.contextmanager
def _running(path: Path) -> Iterator[None]:
    """Lend the script its own folder and arguments, and keep what it prints out of the answer."""
    folders, arguments, bytecode = sys.path[:], sys.argv, sys.dont_write_bytecode
    sys.path.insert(0, str(path.parent))
    sys.argv, sys.dont_write_bytecode = [str(path)], True
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:], sys.argv, sys.dont_write_bytecode = folders, arguments, bytecode
        sys.modules.pop(path.stem, None)


def _function(path: Path, name: str) -> Callable[[], Any]:
    function = function_of(path, name)
    needed = [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        mend = "give them defaults, or write a function that calls it"
        raise InputError(f"a function {name} without arguments", f"{', '.join(needed)} to be given", mend)
    return function


def _try(path: Path, stage: str, act: Callable[[], Any]) -> Any:
    try:
        return act()
    except GradusError:
        raise
    except SystemExit as error:
        mend = "remove the exit"
        raise DataError(f"{path.name} to {stage}", f"it leaves at {line_of(error, path)}", mend) from error
    except Exception as error:
        words = (str(error).strip().splitlines() or [""])[0]
        received = f"{type(error).__name__} at {line_of(error, path)}" + (f": {words}" if words else "")
        raise DataError(f"{path.name} to {stage}", received, "mend the script") from error


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
