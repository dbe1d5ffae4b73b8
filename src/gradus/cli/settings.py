"""``gradus config``: every setting of an estimator, read from its fields."""

from __future__ import annotations

from dataclasses import MISSING
from importlib import import_module
from typing import Annotated, Any

import typer

from gradus.catalog import PUBLIC
from gradus.cli.console import emit_json, table, write
from gradus.core.errors import SettingError, nearest

__all__ = ["add_to", "config", "describe"]

JOB = "job"


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(config)


def describe(estimator: str) -> list[dict[str, Any]]:
    """Return each setting of an estimator, or of every run ("job"): name, default, meaning, unit, allowed values."""
    if estimator != JOB and estimator not in PUBLIC:
        raise SettingError(
            "the name of an estimator, or job", repr(estimator), f"{nearest(estimator, PUBLIC)}see `gradus config`"
        )
    from gradus.core.options import settings_of

    cls = _job() if estimator == JOB else getattr(import_module(PUBLIC[estimator]), estimator)
    return [
        {
            "name": s.name,
            "default": None if s.default is MISSING else s.default,
            "meaning": s.help,
            "unit": s.unit,
            "allowed": s.range,
            "low": s.low,
            "high": s.high,
            "choices": list(s.choices),
        }
        for s in settings_of(cls).values()
    ]


def config(
    estimator: Annotated[
        str | None, typer.Argument(help="Name of an estimator, or job: of every run. Without one, all are listed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Show every setting with its default, meaning, unit and range."""
    if as_json:
        emit_json(describe(estimator) if estimator else dict(_all()))
        return
    if estimator is None:
        table(
            ([name, len(settings), ", ".join(s["name"] for s in settings[:4]) + ", ..."] for name, settings in _all()),
            ["estimator", "settings", "the first of them"],
        )
        write("`gradus config NAME` shows them all; `gradus fit SOURCE --set name=value` changes one\n")
        return
    table(
        ([s["name"], s["default"], s["meaning"], s["unit"], s["allowed"]] for s in describe(estimator)),
        ["setting", "default", "meaning", "unit", "allowed"],
        title=estimator,
    )


def _all() -> list[tuple[str, list[dict[str, Any]]]]:
    return [(name, describe(name)) for name in (JOB, *PUBLIC)]


def _job() -> Any:
    from gradus.runs.job import Job

    return Job
