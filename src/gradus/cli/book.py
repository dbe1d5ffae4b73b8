"""``gradus book``: the catalog by the book's sections."""

from __future__ import annotations

from typing import Annotated

import typer

from gradus.catalog import CATALOG, SECTIONS, Entry, within
from gradus.cli.console import emit_json, result_console, write
from gradus.core.errors import InputError, nearest

__all__ = ["add_to", "book", "select"]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(book)


def select(section: str | None = None, search: str | None = None) -> list[Entry]:
    """Return the entries of a section and its subsections that contain a word, in the book's order.

    Raises
    ------
    InputError
        If the book has no such section.
    """
    entries = list(CATALOG)
    if section is not None:
        number = section.removeprefix("§").strip().rstrip(".")
        if number not in SECTIONS:
            raise InputError(
                "a section of the book such as 6 or 7.8",
                repr(section),
                f"{nearest(number, SECTIONS)}see `gradus book`",
            )
        entries = [e for e in entries if within(e.section, number)]
    if search is not None:
        word = search.casefold()
        entries = [e for e in entries if word in f"{e.name} {e.kind} {e.summary} {SECTIONS[e.section]}".casefold()]
    return sorted(entries, key=lambda e: [int(part) for part in e.section.split(".")])


def book(
    section: Annotated[str | None, typer.Argument(help="Chapter or section, such as 6 or 7.8.")] = None,
    search: Annotated[str | None, typer.Option(metavar="WORD", help="Only entries that contain this word.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """List what exists by the book's sections: where it lives, how to try it."""
    entries = select(section, search)
    if as_json:
        fields = ("name", "section", "kind", "where", "summary", "try_it")
        emit_json([{**{f: getattr(e, f) for f in fields}, "title": SECTIONS[e.section]} for e in entries])
        return
    if not entries:
        write("nothing here yet; `gradus book` lists what there is\n")
        return
    console = result_console()
    heading = ""
    for entry in entries:
        if entry.section != heading:
            heading = entry.section
            console.print(f"\n§{heading} {SECTIONS[heading]}", style="bold", markup=False)
        console.print(f"  {entry.name} ({entry.kind}): {entry.summary}", markup=False, soft_wrap=True)
        console.print(f"      {entry.where}   try: {entry.try_it}", style="dim", markup=False, soft_wrap=True)
