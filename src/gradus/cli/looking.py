"""``gradus inspect`` and ``gradus runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradus.cli.console import emit_json, show, table, write

__all__ = ["add_to", "inspect", "runs"]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(inspect)
    app.command()(runs)


def inspect(
    source: Annotated[
        str, typer.Argument(help="A file, a folder, the name of a data set, or the folder of a run.")
    ],
    target: Annotated[str | None, typer.Option(help="Column to predict.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Say what data hold, or what a run did, without fitting anything."""
    from gradus.runs.job import inspect_source

    facts = inspect_source(source, target=target)
    if as_json:
        emit_json(facts)
    else:
        show(facts)


def runs(
    root: Annotated[Path, typer.Argument(help="Folder that holds the runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """List the runs in a folder, the newest first."""
    from gradus.runs.job import list_runs

    records = list_runs(root)
    if as_json:
        emit_json(records)
    elif not records:
        write(f"no runs in {root}; `gradus fit digits` makes one\n")
    else:
        header = list(dict.fromkeys(key for record in records for key in record))
        table(([record.get(key) for key in header] for record in records), header)
