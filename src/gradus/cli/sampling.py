"""``gradus sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradus.cli.console import emit_json, write

__all__ = ["add_to", "sample"]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(sample)


def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run on a text, on series in time, or on rows.")],
    n: Annotated[int, typer.Option("-n", min=1, metavar="INTEGER", help="Number of samples.")] = 1,
    prompt: Annotated[str | None, typer.Option(help="What a text begins with.")] = None,
    length: Annotated[int | None, typer.Option(min=1, metavar="TOKENS", help="Tokens to add; 200 by default.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, metavar="NUMBER", help="1 as the model believes, 0 the likeliest token.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=1, metavar="INTEGER", help="Draw among so many likeliest.")] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="SHARE", help="Draw among the likeliest that reach a share.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="INTEGER", help="Seed; a new one by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Draw from the model of a run: texts, ways in which series may go on, or rows like those learned."""
    from gradus.runs.sampling import sample_run

    rule = {"prompt": prompt, "length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    found = sample_run(run, n, seed=seed, **rule)
    if not isinstance(found, list):
        rows = found.assign(time=found["time"].astype(str)) if "time" in found and "step" in found else found
        emit_json(rows.to_dict("records")) if as_json else write(rows.to_csv(index=False))
    elif as_json:
        emit_json(found)
    else:
        write("\n\n".join(found) + "\n")
