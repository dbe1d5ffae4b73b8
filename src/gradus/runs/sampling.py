"""Samples of a run's model: texts that go on from a prompt, ways in which series may go on."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pandas as pd

from gradus.core.errors import DataError, SettingError
from gradus.practice.alone import ALONE, drawn
from gradus.runs.opened_alone import as_data
from gradus.runs.other_answers import paths_frame
from gradus.runs.predictions import check_finished, fitted_model
from gradus.runs.record import RunFolder

__all__ = ["sample_run"]


def sample_run(path: str | Path, n: int = 1, *, seed: int | None = None, **rule: Any) -> list[str] | pd.DataFrame:
    """Draw from the model a run chose.

    Parameters
    ----------
    path : str or Path
        The run's folder.
    n : int
        Number of samples, 1 or more.
    seed : int, optional
        The same seed draws the same; without one every call differs.
    **rule
        Of texts only: ``prompt``, ``length``, ``temperature``, ``top_k``, ``top_p``; None leaves one at its default.

    Returns
    -------
    list of str, or DataFrame
        Texts, prompt included; of series one row a path, series and step; of rows without a target, rows like them:
        rounded columns rounded and within the data's range, pixels in the data's levels.

    Raises
    ------
    DataError
        If the run's model answers rows, and draws nothing.
    SettingError
        If a setting is not one of its model.
    """
    folder = RunFolder.open(path)
    record = folder.read_record()
    check_finished(folder, record)
    kind = "" if record.data is None else record.data.kind
    alone = record.task in ALONE and kind in ("table", "images") and record.task != "compress"
    if kind not in ("corpus", "series") and not alone:
        received = f"one that answers {record.task}"
        raise DataError("a run whose model can be sampled", received, f"use `gradus predict {path} DATA`")
    if n < 1:
        raise SettingError("1 sample or more", str(n), "write for example -n 3")
    given = {name: value for name, value in rule.items() if value is not None}
    if kind != "corpus" and given:
        words = "series in time" if kind == "series" else "rows"
        raise SettingError(f"no setting of texts for {words}", next(iter(given)), "leave it out")
    model = fitted_model(folder, record)[0]
    if alone and record.data is not None:
        rows = as_data(drawn(model, n, seed).reshape(n, -1), record.data, record.task)
        names = record.data.names or [f"pixel {k}" for k in range(rows.shape[1])]
        whole = {name: int for name in names if record.data.levels or record.data.steps.get(name, 0.0) >= 1}
        return pd.DataFrame(rows, columns=names).astype(whole)
    if kind == "series":
        return paths_frame(model, n, seed)
    known = inspect.signature(model.sample).parameters
    for name in given:
        if name not in known:
            mend = f"{record.chosen} has temperature and length; leave this one out"
            raise SettingError(f"a setting of samples of {record.chosen}", repr(name), mend)
    found: list[str] = model.sample(n, random_state=seed, **given)
    return found
