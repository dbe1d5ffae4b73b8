"""``gradus predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradus.cli.console import emit_json, emit_json_rows, progress_console, write

__all__ = ["add_to", "predict"]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(predict)


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    data: Annotated[str, typer.Argument(help="A file or folder like the one the run was fitted on.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, .csv or .parquet; by default the answers go to the screen."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no notes on the data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Predict with the model of a run: one row for each row of the data."""
    from gradus.runs.predictions import predict_blocks, predict_to

    console = progress_console(quiet)
    if out is not None:
        rows = predict_to(run, data, out, console=console)
        emit_json({"rows": rows, "out": out}) if as_json else write(f"wrote {rows} rows to {out}\n")
        return
    blocks = predict_blocks(run, data, console=console)
    if as_json:
        emit_json_rows(frame.to_dict("records") for frame in blocks)
        return
    for number, frame in enumerate(blocks):
        write(frame.to_csv(index=False, header=number == 0))
