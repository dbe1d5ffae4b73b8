"""``gradus graph``: what a network computes, operation by operation, forwards and backwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradus.cli.console import emit_json, write

__all__ = ["add_to", "graph"]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(graph)


def graph(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SCRIPT",
            help="A run's folder, or script.py:function that returns (network, inputs), a tensor or a Variable.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write, .html, .svg or .json; graph.html by default.")
    ] = None,
    svg: Annotated[bool, typer.Option("--svg", help="Write a drawing, graph.svg, instead of a page.")] = False,
    mark: Annotated[
        list[str] | None,
        typer.Option(metavar="PLACE=TEXT", help="Text to show at a module or node, in red."),
    ] = None,
    max_time: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Most time that a script may take.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON: the whole graph, with its values.")] = False,
) -> None:
    """Draw the graph of a network: shapes, values, gradients, time and memory of every operation."""
    from gradus.core.errors import SettingError
    from gradus.foundations.graph.showing import Drawing

    if svg and out is not None and out.suffix.lower() != ".svg":
        raise SettingError("a file that ends in .svg where --svg is given", repr(out.name), "leave out one of the two")
    marks = {}
    for text in mark or ():
        place, sign, said = text.partition("=")
        if not sign or not place:
            raise SettingError("--mark PLACE=TEXT", repr(text), "write for example --mark layer1.0='dead units'")
        marks[place] = said
    if Path(subject).is_dir():
        from gradus.runs.graph import picture_of_run

        picture = picture_of_run(subject)
    else:
        from gradus.foundations.graph.scripts import picture_of_script

        picture = picture_of_script(subject, max_time=max_time)
    drawing = Drawing(picture.marked(marks))
    if as_json and out is None:
        emit_json(picture.facts())
        return
    path = drawing.save(out or Path("graph.svg" if svg else "graph.html"))
    operations = sum(node.kind == "operation" for node in picture.nodes)
    if as_json:
        emit_json({"out": path, "title": picture.title, "operations": operations, "notes": picture.notes})
        return
    write(f"wrote {path}: {picture.title}, {operations} operations" + "".join(f"; {n}" for n in picture.notes) + "\n")
