"""Answers of runs that did not learn rows with a target: forecasts of series, the cost of texts, samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradus.applications.timeseries.series import SeriesSet, read_series
from gradus.core.errors import DataError
from gradus.data.dataset import Note
from gradus.data.files import must_exist
from gradus.data.named import NAMED
from gradus.data.pictures import read_pictures
from gradus.data.reading import load_table, read
from gradus.data.texts import read_corpus
from gradus.practice.alone import log_density, takes_gaps
from gradus.research.linear_factors.patches import tiled_patches
from gradus.runs.opened_alone import JUDGED, matrix_of
from gradus.runs.record import RunRecord

__all__ = ["alone_frame", "corpus_frame", "forecast_frame", "patches_frame", "paths_frame"]

Tell = Callable[[Iterable[Note]], None]
LEVELS = {"0.5": "prediction", "0.05": "low", "0.95": "high"}


def forecast_frame(model: Any, data: str | Path, record: RunRecord, tell: Tell) -> pd.DataFrame:
    """Forecast what follows the history in a table like the one fitted.

    Parameters
    ----------
    model : ForecastEstimator
        Fitted.
    data : str or Path
        A table with the columns that were fitted, of any length.
    record : RunRecord
        Of the run.
    tell : callable
        Given the notes on what was filled.

    Returns
    -------
    DataFrame
        One row a series and step: ``series``, ``time``, ``step``, ``prediction``, and the 90 % interval ``low`` to
        ``high``.

    Raises
    ------
    DataError
        If it is no table, or lacks a column.
    """
    table = load_table(data)
    if table is None:
        raise DataError("a table of series, as the run was fitted on", repr(str(data)), "pass a CSV or Parquet file")
    roles = {} if record.data is None else record.data.roles
    frame = table.frame.rename(columns=str)
    wanted: Any = record.target or [str(n) for n in SeriesSet.from_plain(model.series_).names]
    named = [wanted] if isinstance(wanted, str) else list(wanted)
    for column in (*roles.values(), *named):
        if column not in frame.columns:
            raise DataError(f"the column {column!r}", "a table without it", "pass every column the run was fitted on")
    series = read_series(frame, time=roles.get("time"), target=wanted, by=roles.get("by"), gaps="fill")
    tell(series.notes)
    found = model.forecast(series=series, levels=[float(level) for level in LEVELS])
    return found.rename(columns=LEVELS)


def corpus_frame(model: Any, data: str | Path, record: RunRecord, tell: Tell) -> pd.DataFrame:
    """Say how surprising texts are to a language model: one row a file.

    Returns
    -------
    DataFrame
        ``text`` (the file), ``characters``, ``bits_per_byte`` and ``perplexity`` a character.
    """
    corpus = read_corpus(data)
    tell(corpus.notes)
    rows = []
    for name, text in zip(corpus.names, corpus.texts, strict=True):
        nats = -float(np.sum(model.token_log_probabilities([text])[0]))
        size = len(text.encode("utf-8", "surrogatepass"))
        each = {"bits_per_byte": nats / math.log(2) / size, "perplexity": math.exp(min(700.0, nats / len(text)))}
        rows.append({"text": name, "characters": len(text), **each})
    return pd.DataFrame(rows)


def alone_frame(model: Any, data: str | Path, record: RunRecord, tell: Tell) -> pd.DataFrame:
    """Say of rows without a target how likely they are, to which group they belong, or what their code is.

    Returns
    -------
    DataFrame
        One row a row: ``log_density`` (nats) where the task is judged by it or the model says nothing else, ``group``
        and ``probability`` of mixtures, and the numbers of the code, ``z1``, ``z2`` and so on.
    """
    found = read(str(data), require_target=False)
    kind = "" if record.data is None else record.data.kind
    if found.kind != kind:
        raise DataError(f"{kind}, as the run was fitted on", found.kind, "pass data of the same kind")
    wanted = None if kind == "images" or record.data is None else record.data.names
    for column in wanted or []:
        if column not in getattr(found.X, "columns", ()):
            raise DataError(f"the column {column!r}", "a table without it", "pass every column the run was fitted on")
    rows, _, notes = matrix_of(found, record.task, wanted)
    whole = np.isfinite(rows).any(1) if takes_gaps(model) else np.isfinite(rows).all(1)
    if not whole.all():
        notes.append(Note("rows with gaps", f"{record.chosen} has no answer to them", int((~whole).sum())))
    tell([*found.notes, *notes])
    if not whole.any():
        raise DataError("a row without gaps", "none", "fill the gaps")
    kept, rows = np.flatnonzero(whole), rows[whole]
    columns: dict[str, Any] = {}
    if hasattr(model, "predict_proba"):
        shares = model.predict_proba(rows)
        columns = {"group": shares.argmax(1), "probability": shares.max(1)}
    elif hasattr(model, "transform"):
        codes = np.asarray(model.transform(rows))
        columns = {f"z{k + 1}": codes[:, k] for k in range(codes.shape[1])}
    if record.task in JUDGED or not columns:  # a rung without a code still says how likely a row is
        columns = {"log_density": log_density(model, rows), **columns}
    frame = pd.DataFrame(columns, index=kept).reindex(range(len(whole)))
    if found.row_names is not None:
        frame.insert(0, "file", found.row_names)
    return frame


def patches_frame(model: Any, data: str | Path, record: RunRecord, tell: Tell) -> pd.DataFrame:
    """Code every patch of pictures, side by side.

    Returns
    -------
    DataFrame
        One row a patch: ``picture``, ``row`` and ``column`` of its upper left pixel, and the numbers of its code,
        ``z1``, ``z2`` and so on.
    """
    found = read_pictures(data, model.patch_size)
    if found is None:
        if str(data) not in NAMED:
            must_exist(Path(data).expanduser(), NAMED)
        raise DataError("pictures, as the run was fitted on", repr(str(data)), "pass a folder of pictures, or one")
    tell(found.notes)
    parts = []
    for name, picture in zip(found.names, found.pictures, strict=True):
        if min(picture.shape[:2]) < model.patch_size:
            tell([Note(f"picture {name!r}", f"smaller than a patch of {model.patch_size} pixels, and left out")])
            continue
        patches, places = tiled_patches(picture, model.patch_size)
        codes = model.transform(patches)
        columns: dict[str, Any] = {"picture": name, "row": places[:, 0], "column": places[:, 1]}
        parts.append(pd.DataFrame(columns | {f"z{k + 1}": codes[:, k] for k in range(codes.shape[1])}))
    if not parts:
        raise DataError(f"a picture of {model.patch_size} pixels or more", "none", "pass larger pictures")
    return pd.concat(parts, ignore_index=True)


def paths_frame(model: Any, n: int, seed: int | None) -> pd.DataFrame:
    """Draw ways in which the fitted series may go on: one row a path, series and step.

    Returns
    -------
    DataFrame
        ``path`` (from 1), ``series``, ``time``, ``step`` and ``value``.
    """
    drawn = model.sample(n, random_state=seed)
    frame = model.forecast(levels=(0.5,)).drop(columns="0.5")
    # (path, step) or (path, step, series) to rows of one path, series by series
    values = drawn if drawn.ndim == 2 else drawn.transpose(0, 2, 1).reshape(n, -1)
    parts = [frame.assign(value=values[k]) for k in range(n)]
    return pd.concat(parts, keys=range(1, n + 1), names=["path"]).reset_index(level="path").reset_index(drop=True)
