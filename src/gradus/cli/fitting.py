"""``gradus fit`` and ``gradus resume``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gradus.cli.console import emit_json, progress_console
from gradus.core.errors import SettingError

if TYPE_CHECKING:
    from gradus.runs.record import RunFolder

__all__ = ["add_to", "fit", "pairs", "resume"]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(fit)
    app.command()(resume)


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Split each ``name=value``; the values stay text until the estimator they belong to is known.

    Examples
    --------
    >>> pairs(["hidden=64,32", "optimizer=adam"])
    {'hidden': '64,32', 'optimizer': 'adam'}
    """
    settings: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise SettingError("--set name=value", repr(text), "write for example --set learning_rate=0.01")
        if name in settings:
            raise SettingError(f"one value for {name}", "two", "leave out one of the two --set options")
        settings[name] = value
    return settings


def fit(
    source: Annotated[str, typer.Argument(help="A file, a folder or the name of a data set, such as digits.")],
    target: Annotated[str | None, typer.Option(help="Column to predict.")] = None,
    task: Annotated[
        Literal[
            "auto",
            "classification",
            "regression",
            "translate",
            "forecast",
            "generate",
            "density",
            "factors",
            "cluster",
            "compress",
        ],
        typer.Option(help="What kind of answer; auto infers it: forecast goes on with series, generate with a text."),
    ] = "auto",
    text: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of texts to read; none reads a table although it has one."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the estimator; see `gradus config`."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; a new one under runs/ by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="INTEGER", help="Seed of everything random.")] = 0,
    max_time: Annotated[float | None, typer.Option(metavar="SECONDS", help="Most time to train the network.")] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="Column whose equal values stay on one side of the split, or that names series."
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of times: train on the past, test on the future."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Take data from a baseline to a network, a test score and a report.

    Parquet files and folders of images that are larger than memory are streamed; --set memory=GIB says how much of them
    to hold.

    Ctrl-C while the network trains keeps the best weights so far and goes on to test and report (exit code 0);
    twice or at another time it stops the run (130), as SIGTERM does (143): `gradus resume` goes on.
    """
    settings = pairs(setting or [])
    if max_time is not None and not 0 < max_time < math.inf:
        raise SettingError("--max-time above 0 seconds", f"{max_time:g}", "leave it out for no limit")
    from gradus.runs.job import fit_source
    from gradus.training.distribution import is_first

    run = fit_source(
        source,
        target=target,
        task=task,
        text=text,
        settings=settings,
        out=out,
        seed=seed,
        max_time=max_time,
        group=group,
        time=time,
        console=progress_console(quiet or not is_first()),
    )
    if is_first():
        _answer(run, as_json)


def resume(
    run: Annotated[Path, typer.Argument(help="Folder of a run that was stopped.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Go on with a run from its last complete checkpoint."""
    from gradus.runs.job import resume_run
    from gradus.training.distribution import is_first

    resumed = resume_run(run, console=progress_console(quiet or not is_first()))
    if is_first():
        _answer(resumed, as_json)


def _answer(run: RunFolder, as_json: bool) -> None:
    from gradus.cli.present import run_facts, show_run

    if as_json:
        emit_json(run_facts(run))
    else:
        show_run(run)
