"""A job's data, opened: recognised by kind, read into memory where they fit, else surveyed and streamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradus.applications.kinds import recognise
from gradus.core.errors import DataError
from gradus.data.dataset import Dataset, Note
from gradus.data.memory import GIB
from gradus.data.reading import load_table, read, read_loaded
from gradus.data.splitting import split
from gradus.data.texts import text_column, with_texts
from gradus.practice.alone import ALONE
from gradus.runs.opened import Opened
from gradus.runs.opened_alone import open_alone
from gradus.runs.opened_corpus import SHARE, is_corpus, open_corpus
from gradus.runs.opened_rows import OpenedRows
from gradus.runs.opened_series import is_series, open_series
from gradus.runs.surveys import Say, default_memory, survey_source, understood

if TYPE_CHECKING:
    from gradus.runs.job import Job

__all__ = ["TASKS", "fractions_of", "open_data", "texts_of_table"]

ROWS = ("classification", "regression")
TASKS = ("auto", *ROWS, "translate", "forecast", *ALONE)
_NEEDS = {"forecast": "a table of series in time", "translate": "two columns of texts"}
_WORDS = {"table": "a table", "images": "images", "texts": "texts"}


def fractions_of(job: Job) -> tuple[float, float]:
    """Return the shares for validation and test: those asked for, else what suits rows, or a plain text."""
    test = job.test_fraction
    if test is None:  # only then is it worth a look into the source
        test = SHARE if is_corpus(job.source, job.task) else 0.2
    return (test if job.valid_fraction is None else job.valid_fraction), test


def open_data(job: Job, settings: Mapping[str, str], say: Say | None = None) -> Opened:
    """Open the data of a job, by streaming if they would take more than ``job.memory`` GiB.

    Parameters
    ----------
    job : Job
        With ``memory`` settled.
    settings : mapping of str to str
        Of the network; some shape the data too, such as how far to forecast.
    say : callable, optional
        Told what takes its time.

    Raises
    ------
    GradusError
        If they cannot be used.
    """
    if is_corpus(job.source, job.task):
        return open_corpus(job)
    if job.task in ALONE:
        return open_alone(job, settings)
    memory = (job.memory or default_memory()) * GIB
    valid, test = fractions_of(job)
    if job.task in ("auto", *ROWS) and job.text in (None, "none"):
        survey = survey_source(
            job.source, memory, target=job.target, group=job.group, time=job.time, task=job.task,
            test=test, valid=valid, seed=job.seed, say=say,
        )  # fmt: skip
        if survey is not None:
            app = understood(survey, job.task)
            return OpenedRows(
                app=app, parts=survey.split, rows=survey.rows, train_rows=survey.train_rows,
                fingerprint=survey.fingerprint, survey=survey,
            )  # fmt: skip
    table = load_table(job.source)
    if table is not None and is_series(job, table.frame):
        return open_series(job, table, settings)
    if table is None:
        data = read(job.source, target=job.target, group=job.group, time=job.time)
    else:
        written = job.task == "translate"
        data = read_loaded(table, target=job.target, group=job.group, time=job.time, written=written)
    data, roles = texts_of_table(data, job.text, pairs=job.task == "translate")
    if job.task not in ("auto", *ROWS) and not (job.task == "translate" and data.kind == "texts"):
        received = f"{_WORDS[data.kind]} in {data.name}"
        raise DataError(f"{_NEEDS[job.task]} for --task {job.task}", received, "leave out --task")
    data = replace(data, notes=(*data.notes, *_too_large(Path(job.source), memory)))
    app = recognise(data, job.task)
    parts = split(
        data, app.y, test=test, valid=valid, seed=job.seed,
        stratify=app.task == "classification",
    )  # fmt: skip
    return OpenedRows(
        app=app, parts=parts, rows=len(data), train_rows=len(parts.train), fingerprint=data.fingerprint, roles=roles
    )


def texts_of_table(data: Dataset, asked: str | None, *, pairs: bool = False) -> tuple[Dataset, dict[str, str]]:
    """Return a table's texts and their column, where one was named or recognised; else the data as they are.

    Where texts are to be translated, the only column beside the target is taken, whatever its texts look like.
    """
    if data.kind != "table":
        if asked not in (None, "none"):
            raise DataError("a table with a column of texts", f"{_WORDS[data.kind]} in {data.name}", "leave out --text")
        return data, {}
    column = asked or text_column(data)
    table: Any = data.X
    if column is None and pairs and table.shape[1] == 1:
        column = str(table.columns[0])
    if column is None or column == "none":
        return data, {}
    return with_texts(data, column, asked=asked is not None), {"text": column}


def _too_large(path: Path, memory: float) -> list[Note]:
    """Say that a file of another format is read whole, where more memory is asked of it than it may take."""
    if not path.is_file() or path.stat().st_size <= memory:
        return []
    why = f"{path.name} is more than memory={memory / GIB:g} GiB, and read whole; convert it to Parquet to stream it"
    return [Note("memory", why)]
