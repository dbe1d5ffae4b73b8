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
from gradus.data.reading import load_table, read
from gradus.data.texts import read_corpus
from gradus.runs.job import Job
from gradus.runs.opened_corpus import is_corpus
from gradus.runs.opened_series import OpenedSeries, is_series, open_series
from gradus.runs.opening import texts_of_table
from gradus.runs.record import RunFolder, RunRecord
from gradus.runs.surveys import default_memory, survey_source, understood

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
    job = Job(source=str(source), target=target)
    if is_corpus(source, job.task):
        corpus = read_corpus(source)
        size = sum(map(len, corpus.texts))
        facts = {"name": corpus.name, "kind": "corpus", "texts": len(corpus.texts), "characters": size}
        facts |= {"different_characters": len(set().union(*corpus.texts)), "task": "generate"}
        return facts | {"fingerprint": corpus.fingerprint, "notes": [str(note) for note in corpus.notes]}
    survey = survey_source(source, default_memory() * GIB, target=target)
    table = load_table(source) if survey is None else None
    if table is not None and is_series(job, table.frame):
        return _of_series(open_series(job, table, {}))
    data = survey.data if survey is not None else read(str(source), target=target)
    data, roles = texts_of_table(data, job.text) if survey is None else (data, {})
    rows, print_of = (len(data), data.fingerprint) if survey is None else (survey.rows, survey.fingerprint)
    facts = {"name": data.name, "kind": data.kind, "rows": rows, "target": data.target, **roles}
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
    elif data.kind == "images":
        facts["shape"] = list(data.X.shape[1:])
    return facts


def _of_series(opened: OpenedSeries) -> dict[str, Any]:
    series = opened.app.series
    facts: dict[str, Any] = {"name": opened.name, "kind": "series", "task": opened.task, "why": opened.why}
    facts |= {"series": list(series.names), "values": series.lengths, "step": series.step, "season": opened.app.season}
    return facts | {"fingerprint": opened.fingerprint, "notes": [str(note) for note in opened.notes]}


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
