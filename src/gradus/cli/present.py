"""A run as the command line shows it: the ladder, the verdict, where the files lie, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradus.cli.console import result_console, show, table

if TYPE_CHECKING:
    from gradus.runs.record import RunFolder, RungRecord, RunRecord, ScoreRecord

__all__ = ["run_facts", "show_run"]


def run_facts(run: RunFolder) -> dict[str, Any]:
    """Return a run's record and the paths of its files as plain data."""
    paths = {"model": run.model, "report": run.report, "metrics": run.metrics}
    found = {name: str(path) for name, path in paths.items() if path.exists()}
    return {"run": str(run.path), "files": found, **run.read_record().to_dict()}


def show_run(run: RunFolder) -> None:
    """Write what a run did to standard output."""
    record = run.read_record()
    if record.ladder:
        metric = record.metric.name if record.metric else "score"
        table(
            (_rung(rung, record) for rung in record.ladder),
            ["", "rung", f"{metric}, validation", f"{metric}, test", "95 % interval", "seconds", ""],
        )
    console = result_console()
    if record.verdict:
        console.print(record.verdict, markup=False, soft_wrap=True)
    others = {name: s for name, s in record.test_scores.items() if not record.metric or name != record.metric.name}
    if others:
        scores = ", ".join(f"{name} {score.show()}" for name, score in others.items())
        console.print(f"Also on the test part: {scores}.", markup=False, soft_wrap=True)
    facts: dict[str, Any] = {"run": run.path, "status": record.error or record.status}
    facts |= {"report": run.report} if run.report.exists() else {}
    if record.seconds is not None:
        facts["seconds"] = f"{record.seconds:.1f}"
    console.print()
    show(facts)
    for command in record.next_commands:
        console.print(f"next  {command}", markup=False, soft_wrap=True)


def _rung(rung: RungRecord, record: RunRecord) -> list[str]:
    def value(score: ScoreRecord | None) -> str:
        return "-" if score is None else score.show()

    return [
        ">" if rung.name == record.chosen else "",
        rung.name,
        value(rung.valid),
        value(rung.test),
        "-" if rung.test is None else rung.test.interval(),
        "-" if rung.fit_seconds is None else f"{rung.fit_seconds:.2f}",
        rung.error or "; ".join(rung.notes),
    ]
