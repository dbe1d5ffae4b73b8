"""What is asked of data and of finished runs: predictions, a look inside, the status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradus.applications.kinds import recognise
from gradus.core.errors import DataError, GradusError, LockedError
from gradus.core.lock import RunLock
from gradus.core.storage import atomic_write, storage_errors
from gradus.data.columns import infer_columns
from gradus.data.reading import read
from gradus.estimators.persistence import load
from gradus.practice.answers import predict
from gradus.practice.baselines import Part
from gradus.runs.job import prepare_again
from gradus.runs.record import RunFolder, RunRecord

__all__ = ["inspect_source", "predict_run", "status_of"]

# Beyond this many classes a column of probabilities each is more than anyone reads.
MAX_PROBABILITY_COLUMNS = 30


def predict_run(path: str | Path, data: str | Path, out: str | Path | None = None) -> pd.DataFrame:
    """Predict rows or images with the model a run chose.

    A network is loaded from the run's folder. A classical model that won is fitted again from the run's data, in
    the same way, since it is not stored: its libraries have no format without pickle.

    Parameters
    ----------
    path : str or Path
        The run's folder.
    data : str or Path
        A file, folder or named data set like the one fitted; a target in it is not looked at.
    out : str or Path, optional
        A ``.csv`` or ``.parquet`` file to write.

    Returns
    -------
    DataFrame
        One row a row: ``prediction`` and, for classes, ``probability`` and one column for each class; for numbers
        that a network predicts, ``low`` and ``high``, a 90 % interval.

    Raises
    ------
    DataError
        If the run has no model, or the data do not have the columns or the kind that were fitted.
    """
    target = None if out is None else _writable(Path(out))
    folder = RunFolder.open(path)
    record = folder.read_record()
    if record.chosen is None or record.data is None:
        raise DataError("a finished run", f"one that is {record.status}", f"finish it with `gradus resume {path}`")
    kind = record.data.kind
    size = tuple(record.data.shape[:2]) if record.data.shape else None
    channels = record.data.shape[2] if record.data.shape else None
    rows = read(str(data), require_target=False, image_size=size, channels=channels)  # type: ignore[arg-type]
    if rows.kind != kind:
        raise DataError(f"{kind}, as the run was fitted on", rows.kind, "pass data of the same kind")
    model = _model(folder, record)
    frame = _frame(model, rows.X, record)
    if rows.row_names is not None:
        frame.insert(0, "file", rows.row_names)
    if target is not None:
        _write(frame, target)
    return frame


def _model(folder: RunFolder, record: RunRecord) -> Any:
    chosen = record.rung(record.chosen)
    if chosen is not None and chosen.kind == "network":
        return load(folder.model)
    prepared = prepare_again(folder, record)
    rung = next(r for r in prepared.rungs if r.name == record.chosen)
    rows = prepared.parts.train
    X = prepared.app.data.X
    train = Part(X.iloc[rows].reset_index(drop=True) if isinstance(X, pd.DataFrame) else X[rows], prepared.app.y[rows])
    return rung.estimator.fit(train.X, train.y)


def _frame(model: Any, X: Any, record: RunRecord) -> pd.DataFrame:
    if record.task == "classification":
        answer = predict(model, X)
        columns: dict[str, Any] = {"prediction": answer.labels}
        if answer.probabilities is not None and answer.classes is not None:
            columns["probability"] = answer.probabilities.max(1)
            if len(answer.classes) <= MAX_PROBABILITY_COLUMNS:
                columns |= {f"p({c})": answer.probabilities[:, i] for i, c in enumerate(answer.classes)}
        return pd.DataFrame(columns)
    columns = {"prediction": np.asarray(model.predict(X), dtype=np.float64)}
    if hasattr(model, "predict_distribution"):
        columns |= _interval(model.predict_distribution(X))
    return pd.DataFrame(columns)


def _interval(distribution: Any) -> dict[str, np.ndarray]:
    import torch

    shape = (-1, *[1] * len(distribution.batch_shape))
    try:
        ends = distribution.icdf(torch.tensor([0.05, 0.95]).reshape(shape))
    except NotImplementedError:  # mixtures and counts have no closed form: take the quantiles of many draws
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            draws = distribution.sample((2000,))
        ends = torch.quantile(draws, torch.tensor([0.05, 0.95]), dim=0)
    return {"low": ends[0].double().numpy(), "high": ends[1].double().numpy()}


def _writable(path: Path) -> Path:
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError("a .csv or .parquet file to write", path.name, "name for example predictions.csv")
    if not path.absolute().parent.is_dir():
        raise DataError(f"the folder {path.absolute().parent}", "none of that name", "make it first")
    return path


def _write(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix.lower() == ".csv":
        atomic_write(path, frame.to_csv(index=False))
        return
    import io

    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    with storage_errors(path):
        atomic_write(path, buffer.getvalue())


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
    data = read(str(source), target=target)
    facts: dict[str, Any] = {"name": data.name, "kind": data.kind, "rows": len(data), "target": data.target}
    if data.test is not None:
        facts["test_rows"] = len(data.test[1])
    try:
        app = recognise(data)
        facts |= {"task": app.task, "why": app.why, "classes": app.classes}
    except GradusError as error:
        facts["task"] = f"none: {error}"
    facts |= {"fingerprint": data.fingerprint, "notes": [str(note) for note in data.notes]}
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
