"""What is asked of data and of finished runs: a look inside, the status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gradus.applications.kinds import recognise
from gradus.core.errors import GradusError, LockedError
from gradus.core.lock import RunLock
from gradus.data.columns import infer_columns
from gradus.data.memory import GIB
from gradus.data.reading import read
from gradus.runs.opening import default_memory, survey_source, understood
from gradus.runs.record import RunFolder, RunRecord

__all__ = ["inspect_source", "status_of"]


def inspect_source(source: str | Path, *, target: str | None = None) -> dict[str, Any]:
    """Say what a data source is, without fitting anything.

    Parameters
    ----------
    source : str or Path
        A file, a folder or the name of a data set.
    target : str, optional
        The column to predict.

    Returns
    -------
    dict
        Kind, size, columns with their kinds and why, the target and task that would be taken, notes.
    """
    survey = survey_source(source, default_memory() * GIB, target=target)
    data = read(str(source), target=target) if survey is None else survey.data
    rows, print_of = (len(data), data.fingerprint) if survey is None else (survey.rows, survey.fingerprint)
    facts: dict[str, Any] = {"name": data.name, "kind": data.kind, "rows": rows, "target": data.target}
    if data.test is not None:
        facts["test_rows"] = len(data.test[1])
    try:
        app = recognise(data) if survey is None else understood(survey)
        facts |= {"task": app.task, "why": app.why, "classes": app.classes}
    except GradusError as error:
        facts["task"] = f"none: {error}"
    facts |= {"fingerprint": print_of, "notes": [str(note) for note in data.notes]}
    if isinstance(data.X, pd.DataFrame):
        facts["columns"] = [
            {"column": c.name, "kind": c.kind, "missing": c.n_missing, "different": c.n_unique, "why": c.why}
            for c in infer_columns(data.X)
        ]
    else:
        facts["shape"] = list(data.X.shape[1:])
    return facts


def status_of(folder: RunFolder, record: RunRecord) -> str:
    """Return a run's status; one recorded as running that no process holds has been stopped."""
    return "stopped" if record.status == "running" and not _held(folder) else record.status


def _held(folder: RunFolder) -> bool:
    try:
        with RunLock(folder.path):
            return False
    except LockedError:
        return True
    except GradusError:  # a folder that cannot be written to: nobody's work to go on with
        return False
