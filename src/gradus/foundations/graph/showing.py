"""One call for every graph: the engine's, a network's, any function's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from gradus.core.errors import InputError
from gradus.core.storage import atomic_write
from gradus.foundations.graph.drawing import render_svg
from gradus.foundations.graph.page import render_page
from gradus.foundations.graph.picture import Picture
from gradus.foundations.graph.traced import picture_of_call, picture_of_variable
from gradus.foundations.graph.variables import Variable

__all__ = ["Drawing", "picture", "show"]

HEIGHT = 640


class Drawing:
    """A graph as notebooks show it, to be kept as a page, a drawing or data.

    Parameters
    ----------
    picture : Picture
        What is shown.

    Examples
    --------
    >>> drawing = show(lambda x: (x * x).sum(), [1.0, 2.0])
    >>> drawing.save("square.html").name
    'square.html'
    """

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def save(self, path: str | Path) -> Path:
        """Write ``.html`` (to step through), ``.svg`` (for paper) or ``.json`` (everything as data).

        Raises
        ------
        InputError
            If the name ends otherwise.
        """
        path = Path(path)
        forms: dict[str, Callable[[], str]] = {
            ".html": lambda: render_page(self.picture),
            ".svg": lambda: render_svg(self.picture),
            ".json": lambda: json.dumps(self.picture.facts(), allow_nan=False),
        }
        if path.suffix.lower() not in forms:
            raise InputError("a file that ends in .html, .svg or .json", repr(path.name), "name for example graph.html")
        atomic_write(path, forms[path.suffix.lower()]())
        return path

    def _repr_html_(self) -> str:
        page = escape(render_page(self.picture), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:{HEIGHT}px;border:1px solid #8884"></iframe>'

    def __repr__(self) -> str:
        operations = sum(node.kind == "operation" for node in self.picture.nodes)
        return f"Drawing of {self.picture.title}: {operations} operations"


def show(
    subject: Any,
    *inputs: Any,
    loss: Callable[[Any], Any] | None = None,
    marks: Mapping[str, str] | None = None,
    title: str = "",
) -> Drawing:
    """Run something once, forwards and backwards, and return its graph to look at.

    Parameters
    ----------
    subject : Variable, nn.Module or callable
        A result of the engine; a network; or a function, of tensors where tensors are among the inputs.
    *inputs : object
        What to run it on. A network takes one tensor, or several.
    loss : callable, optional
        For a network: makes the scalar to differentiate of its output.
    marks : mapping, optional
        Full name of a module or parameter, or title or number of a node, to a text that is shown there in red.
    title : str
        What stands above it.

    Returns
    -------
    Drawing
        Shows itself in notebooks; `Drawing.save` writes it.

    Raises
    ------
    InputError
        If the subject cannot be run, or a mark names no place.

    Examples
    --------
    >>> from torch import nn, ones
    >>> show(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), ones(4, 3), marks={"1": "dead"})
    Drawing of Sequential: 2 operations
    """
    return Drawing(picture(subject, *inputs, loss=loss, title=title).marked(marks or {}))


def picture(subject: Any, *inputs: Any, loss: Callable[[Any], Any] | None = None, title: str = "") -> Picture:
    """Return the graph of something as data; parameters as in `show`."""
    if isinstance(subject, Variable):
        return picture_of_variable(subject, title=title or "graph")
    torch = sys.modules.get("torch")  # what is no tensor's needs no PyTorch
    if torch is not None and isinstance(subject, torch.nn.Module):
        from gradus.foundations.graph.recording import picture_of_network

        if not inputs:
            raise InputError("inputs to run the network on", "none", "pass a tensor, for example show(network, x)")
        given = inputs[0] if len(inputs) == 1 else inputs
        return picture_of_network(subject, given, loss=loss, title=title)
    if not callable(subject):
        received = f"an object of type {type(subject).__name__}"
        raise InputError("a Variable, a network or a function", received, "pass what is to be run, then its inputs")
    if torch is not None and any(isinstance(each, torch.Tensor) for each in inputs):
        from gradus.foundations.graph.recording import picture_of_function

        return picture_of_function(subject, *inputs, title=title)
    return picture_of_call(subject, *inputs, title=title)
