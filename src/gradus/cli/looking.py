"""``gradus inspect`` and ``gradus runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gradus.cli.console import emit_json, show, table, write

__all__ = ["add_to", "inspect", "list_facts", "runs"]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(inspect)
    app.command()(runs)


def inspect(
    source: Annotated[str, typer.Argument(help="A file, a folder, the name of a data set, or the folder of a run.")],
    target: Annotated[str | None, typer.Option(help="Column to predict.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Say what data hold, or what a run did, without fitting anything."""
    if (Path(source) / "run.json").is_file():
        from gradus.cli.present import run_facts, show_run
        from gradus.runs.record import RunFolder

        run = RunFolder.open(source)
        emit_json(run_facts(run)) if as_json else show_run(run)
        return
    from gradus.runs.answers import inspect_source

    facts = inspect_source(source, target=target)
    emit_json(facts) if as_json else show(facts)


def runs(
    root: Annotated[Path, typer.Argument(help="Folder that holds the runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """List the runs in a folder, the newest first."""
    rows = list_facts(root)
    if as_json:
        emit_json(rows)
    elif not rows:
        write(f"no runs in {root}; `gradus fit digits` makes one\n")
    else:
        table((list(row.values()) for row in rows), [name.replace("_", " ") for name in rows[0]])


def _status(folder: Any, record: Any) -> str:
    """Return a run's status; one that was killed still calls itself running, and only its lock tells."""
    if record.status != "running":
        return str(record.status)
    from gradus.runs.answers import status_of

    return status_of(folder, record)


def list_facts(root: Path) -> list[dict[str, Any]]:
    """Return one row a run: where it is, when, what of, how it ended; a damaged one says so in its row."""
    from gradus.core.errors import GradusError
    from gradus.runs.record import RunFolder

    rows = []
    for folder in RunFolder.all(root):
        row: dict[str, Any] = dict.fromkeys(("run", "created", "status", "data", "task", "chosen", "metric", "test"))
        row["run"] = str(folder.path)
        try:
            record = folder.read_record()
        except GradusError as error:
            row["status"] = f"damaged: {error.received}"
        else:
            rung = record.rung(record.chosen)
            row |= {
                "created": record.created,
                "status": _status(folder, record),
                "data": record.data.name if record.data else None,
                "task": record.task,
                "chosen": record.chosen,
                "metric": record.metric.name if record.metric else None,
                "test": rung.test.value if rung and rung.test else None,
            }
        rows.append(row)
    return rows
