"""Data that do not fit in memory: surveyed once, then streamed to the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gradus.applications.base import Application, check_size
from gradus.applications.kinds import recognise
from gradus.core.errors import DataError, SettingError
from gradus.data.batches import Batch, Batches
from gradus.data.dataset import Note
from gradus.data.memory import GIB, memory_free
from gradus.data.reading import larger_than
from gradus.data.streaming import WeightedBatches
from gradus.data.survey import TableSurvey, survey_table
from gradus.data.survey_images import ImageFolder, ImageSurvey, survey_images
from gradus.data.tables import LARGEST, without_values_beyond

__all__ = ["Say", "default_memory", "stream_of", "survey_source", "understood"]

# Data take this share of free memory; the rest is for the copies that preparation and trees make of them.
MEMORY_SHARE = 0.25
Say = Callable[[str], None]


def default_memory() -> float:
    """Return the GiB of data a run holds unless told otherwise: a quarter of the memory that is free now."""
    return max(round(MEMORY_SHARE * memory_free() / GIB, 3), 0.001)


def survey_source(
    source: str | Path,
    memory: float,
    *,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    task: str = "auto",
    test: float = 0.2,
    valid: float = 0.2,
    seed: int = 0,
    say: Say | None = None,
) -> TableSurvey | ImageSurvey | None:
    """Survey a source that takes more than ``memory`` bytes; None where it fits, or cannot be streamed.

    Other parameters as in `gradus.data.survey.survey_table`.
    """
    found = larger_than(memory, source)
    if found is None:
        return None
    size, n = found.n_bytes / GIB, found.n_rows
    told = f"{n:,} {'images' if isinstance(found, ImageFolder) else 'rows'}, about {size:.2g} GiB"
    if say is not None:
        say(f"read   {source}: {told}; reading once to split, sample and check")
    survey: TableSurvey | ImageSurvey
    if isinstance(found, ImageFolder):
        for role, value in (("target", target), ("group", group), ("time", time)):
            if value is not None:
                raise DataError(f"no {role} for a folder of images", repr(value), "its class folders are the target")
        survey = survey_images(found, memory=memory, test=test, valid=valid, seed=seed)
    else:
        survey = survey_table(
            found, memory=memory, target=target, group=group, time=time, task=task, test=test, valid=valid, seed=seed
        )
    note = Note("memory", _memory_note(told, memory, survey))
    return replace(survey, data=replace(survey.data, notes=(note, *survey.data.notes)))


def _memory_note(told: str, memory: float, survey: TableSurvey | ImageSurvey) -> str:
    words = (
        f"{told}: more than memory={memory / GIB:g} GiB; the network streams the {survey.train_rows:,} training rows"
    )
    words += f", the other rungs and the report see a sample of {len(survey.split.train):,} of them"
    if isinstance(survey, TableSurvey):
        words += "; kinds and scales of columns come from it, and a category that is not in it counts as unknown"
    return words


def understood(survey: TableSurvey | ImageSurvey, task: str = "auto") -> Application:
    """Return the application of a survey's sample, with the task that the whole poses.

    Raises
    ------
    DataError
        If the target does not fit the task.
    """
    app = recognise(survey.data, survey.task if task == "auto" and isinstance(survey, TableSurvey) else task)
    app.why = survey.why
    if app.task == "regression" and isinstance(survey, TableSurvey):
        check_size(np.array(survey.range), survey.data.target)
    return app


# ---- the network's stream ----


def stream_of(survey: TableSurvey | ImageSurvey, app: Application, estimator: Any, seed: int) -> Callable[..., Batches]:
    """Return the function that makes the network's batches of all training rows, once its encoder is fitted.

    Raises
    ------
    SettingError
        If a setting asks for what a stream cannot give.
    """
    if estimator.retrain != "none":
        mend = "leave it out, or raise memory until the data fit"
        raise SettingError("retrain=none for data larger than memory", f"{estimator.retrain!r}", mend)
    weights = None if survey.classes is None else _class_weights(estimator.class_weight, app, survey.classes)
    size = min(estimator.batch_size, survey.train_rows)

    def batches(encode: Callable[..., Batch]) -> Batches:
        def encoded(X: pd.DataFrame, y: pd.Series) -> Batch:
            return {**encode(without_values_beyond(LARGEST, X, [])), "targets": _targets(app, y)}

        found: Batches
        if isinstance(survey, ImageSurvey):
            found = survey.batches(batch_size=size, seed=seed)
        else:
            found = survey.batches(encoded, batch_size=size, seed=seed)
        return found if weights is None else WeightedBatches(found, weights)

    return batches


def _targets(app: Application, y: pd.Series) -> torch.Tensor:
    """Return class numbers or float32 as an estimator makes them of all targets.

    Not by its own encoder, which would look in each piece for what only the whole can show, such as how many classes
    there are, and changes Python's filters of warnings meanwhile, which threads share.
    """
    values = app.encode(y)
    if app.task == "regression":
        return torch.from_numpy(values.astype(np.float32))
    codes = np.searchsorted(app.labels, values).clip(0, len(app.labels) - 1)
    strange = values[app.labels[codes] != values]
    if len(strange):
        mend = "leave the file alone while a run reads it"
        raise DataError("the classes that the first pass found", repr(strange[:1].tolist()[0]), mend)
    return torch.from_numpy(codes.astype(np.int64))


def _class_weights(asked: Any, app: Application, counts: Mapping[Any, int]) -> list[float] | None:
    """Return the weight of each class in the order of its number: of all training rows, not of a batch's."""
    if asked is None:
        return None
    labels = app.encode(pd.Series(list(counts)))
    rows = np.array(list(counts.values()), dtype=np.float64)
    if asked == "balanced":
        table = dict(zip(labels.tolist(), rows.sum() / (len(rows) * rows), strict=True))
    else:
        table = {label: float(asked.get(label, 1.0)) for label in labels.tolist()}
    if min(table.values()) <= 0:
        mend = "drop the rows of that class from the file instead"
        raise SettingError("class weights above 0 for data larger than memory", "0", mend)
    return [float(table[label]) for label in sorted(table)]
