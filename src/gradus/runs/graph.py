"""The graph of a run's network on some of the run's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradus.core.errors import DataError, InputError
from gradus.estimators.graph import ROWS, picture_of_estimator
from gradus.estimators.persistence import load
from gradus.foundations.graph.picture import Picture
from gradus.runs.job import prepare_again
from gradus.runs.opened import Opened
from gradus.runs.opened_alone import OpenedAlone
from gradus.runs.opened_corpus import OpenedCorpus
from gradus.runs.opened_rows import OpenedRows
from gradus.runs.opened_series import OpenedSeries
from gradus.runs.predictions import check_finished
from gradus.runs.record import RunFolder

__all__ = ["picture_of_run"]

LETTERS = 4000


def picture_of_run(path: str | Path) -> Picture:
    """Run a run's network on a few of its validation rows, forwards and backwards.

    Parameters
    ----------
    path : str or Path
        The run's folder.

    Returns
    -------
    Picture
        Of random numbers instead, with a note, where the data are gone and the network reads a table of numbers.

    Raises
    ------
    DataError
        If the run is not finished or has no network, or its data are gone.
    """
    folder = RunFolder.open(path)
    record = folder.read_record()
    check_finished(folder, record)
    if not folder.model.is_dir():
        mend = "its chosen model has no graph; `gradus inspect` tells what it is"
        raise DataError(f"a run with a network in {folder.model}", "none", mend)
    model = load(folder.model)
    if not hasattr(model, "network_"):
        raise DataError("a run with one network", f"a {type(model).__name__}", "draw a part of it in Python")
    try:
        rows = _rows(prepare_again(folder, record).opened)
    except DataError as gone:
        try:
            return picture_of_estimator(model)
        except InputError:
            raise gone from None
    return picture_of_estimator(model, *rows)


def _rows(opened: Opened) -> tuple[Any, ...]:
    if isinstance(opened, OpenedRows):
        few = opened.parts.valid[:ROWS]
        return opened.app.data.take(few).X, opened.app.y[few]
    if isinstance(opened, OpenedCorpus):
        return ([opened.parts["valid"][0][:LETTERS]],)
    if isinstance(opened, OpenedSeries):
        return (opened.app.series,)
    if isinstance(opened, OpenedAlone):
        return (opened.few(ROWS),)
    raise DataError("rows, texts or series", opened.name, "draw the network in Python")
