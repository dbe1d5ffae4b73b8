"""``gradus doctor``: say why a network does not learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gradus.cli.console import emit_json, plain, write

__all__ = ["add_to", "doctor"]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(doctor)


def doctor(
    patient: Annotated[str, typer.Argument(help="A script, script.py or script.py:function, or the folder of a run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    max_time: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Most time to take.")] = 40.0,
    seed: Annotated[int, typer.Option(min=0, metavar="INTEGER", help="Seed handed to the script.")] = 0,
    generalization: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Of a run: time for what more rows, other seeds and cleaner targets would bring, beyond --max-time.",
        ),
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="What the run's metric should reach; the best baseline's by default."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write a page, doctor.html, and doctor.json into this folder.")
    ] = None,
) -> None:
    """Say why a network does not learn, or that it is healthy."""
    from gradus.core.errors import DataError, SettingError

    if goal is not None and generalization is None:
        raise SettingError("--generalization SECONDS with --goal", "--goal alone", "add it, for example 120")
    if generalization is not None and not Path(patient).is_dir():
        raise SettingError("a run's folder with --generalization", repr(patient), "leave it out, or name a run")
    if out is not None and out.exists() and not out.is_dir():
        raise DataError("a folder after --out", f"the file {out}", "name a folder; it is made where it is missing")
    if Path(patient).is_dir():
        from gradus.runs.doctor import examine_run

        diagnosis = examine_run(
            patient, max_time=max_time, view=out is not None, generalization=generalization, goal=goal
        )
    else:
        from gradus.practice.doctor.script import examine_script

        diagnosis = examine_script(patient, max_time=max_time, seed=seed, view=out is not None)
    found = plain(diagnosis.as_dict())
    if out is not None:
        from gradus.practice.doctor.page import write_diagnosis

        found["out"] = str(write_diagnosis(diagnosis, out, title=Path(patient).name))
    if as_json:
        emit_json(found)
    else:
        write(_words(patient, found) + (f"\nwrote {found['out']}\n" if out is not None else ""))


def _words(patient: str, found: dict[str, Any]) -> str:
    """Return the verdict and its reasons as text."""
    lines = [f"{patient}: {found['verdict']} ({found['seconds']:.0f} s)"]
    for rank, finding in enumerate(found["findings"], 1):
        lines += [
            "",
            f"{rank}. {finding['what']}",
            f"   where     {finding['place']}" + (f" ({finding['line']})" if finding["line"] else ""),
            f"   seen      {finding['evidence']}",
            f"   sure      {finding['confidence']:.0%}   ({finding['cause']}, book {finding['section']})",
            f"   mend      {finding['mend']}",
            f"   confirm   {finding['confirm']}",
        ]
    measures = found["measures"]
    if measures.get("skill") is not None:
        simple = ", ".join(
            f"{name} {value:.2f}" for name, value in measures["simple_models"].items() if value is not None
        )
        lines += [
            "",
            f"skill {measures['skill']:.2f} on validation rows" + (f" (simple models: {simple})" if simple else ""),
        ]
    told = measures.get("generalization", {}).get("sentences", [])
    lines += ["", *told] if told else []
    return "\n".join(lines) + "\n"
