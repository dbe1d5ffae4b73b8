"""What is asked of data and of finished runs: predictions, a look inside, the status."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from gradus.applications.kinds import recognise
from gradus.core.errors import DamagedFileError, DataError, GradusError, LockedError, nearest
from gradus.core.lock import RunLock
from gradus.core.storage import atomic_write, storage_errors
from gradus.data.columns import infer_columns
from gradus.data.dataset import Note, brief
from gradus.data.frames import as_number, as_text, date_parts, written_as
from gradus.data.reading import read
from gradus.data.tables import LARGEST, without_values_beyond
from gradus.estimators.persistence import load
from gradus.practice.answers import predict
from gradus.practice.baselines import Part
from gradus.runs.job import prepare_again
from gradus.runs.record import RunFolder, RunRecord

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["inspect_source", "predict_run", "status_of"]

# Beyond this many classes a column of probabilities each is more than anyone reads.
MAX_PROBABILITY_COLUMNS = 30


def predict_run(
    path: str | Path, data: str | Path, out: str | Path | None = None, *, console: Console | None = None
) -> pd.DataFrame:
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
    console : rich.console.Console, optional
        Where to tell what was changed or left out in reading the data; nowhere by default.

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
    if record.status == "finished" and (record.data is None or record.rung(record.chosen) is None):
        where = f"a finished run's data and choice in {folder.record_file}"
        raise DamagedFileError(where, "a record without them", "restore the file or fit again")
    if record.chosen is None or record.data is None:
        raise DataError("a finished run", f"one that is {record.status}", f"finish it with `gradus resume {path}`")
    kind = record.data.kind
    size = tuple(record.data.shape[:2]) if record.data.shape else None
    channels = record.data.shape[2] if record.data.shape else None
    rows = read(str(data), require_target=False, image_size=size, channels=channels)  # type: ignore[arg-type]
    if rows.kind != kind:
        words = {"table": "a table", "images": "images"}
        raise DataError(f"{words[kind]}, as the run was fitted on", words[rows.kind], "pass data of the same kind")
    model, fitted_on = _model(folder, record)
    X, notes = rows.X, list(rows.notes)
    if isinstance(X, pd.DataFrame):
        X = without_values_beyond(LARGEST, X, notes)
    notes += _strange_values(X, fitted_on)
    for note in notes:
        if console is not None:
            console.print(f"note {note}", markup=False, soft_wrap=True)
    frame = _frame(model, X, record)
    if rows.row_names is not None:
        frame.insert(0, "file", rows.row_names)
    if target is not None:
        _write(frame, target)
    return frame


def _model(folder: RunFolder, record: RunRecord) -> tuple[Any, dict[str, _Column]]:
    """Return the chosen model, fitted, and how each column of its table is read."""
    chosen = record.rung(record.chosen)
    if chosen is not None and chosen.kind == "network":
        if not folder.model.is_dir():
            raise DamagedFileError(f"the run's network in {folder.model}", "no such folder", "restore it or fit again")
        network = load(folder.model)
        forms, known = getattr(network, "date_formats_", {}), getattr(network, "categories_", {})
        kinds = getattr(network, "column_kinds_", {})
        return network, {name: _Column(kind, forms.get(name), known.get(name, ())) for name, kind in kinds.items()}
    prepared = prepare_again(folder, record)
    rung = next((r for r in prepared.rungs if r.name == record.chosen), None)
    if rung is None:
        raise DataError("a model of this version's ladder", repr(record.chosen), "fit again")
    rows = prepared.parts.train
    train = Part(prepared.app.data.take(rows).X, prepared.app.y[rows])
    model = rung.estimator.fit(train.X, train.y)
    if not isinstance(train.X, pd.DataFrame) or rung.kind == "trivial":
        return model, {}
    columns = {}
    for column in infer_columns(train.X):
        values = train.X[column.name]
        form = written_as(values) if column.kind == "date" else None
        columns[column.name] = _Column(column.kind, form, as_text(values) if column.kind == "category" else ())
    return model, columns


class _Column(NamedTuple):
    """How a model reads a column: its kind, the format of dates, the categories it knows."""

    kind: str
    form: str | None
    known: Collection[str]


def _strange_values(X: Any, fitted_on: dict[str, _Column]) -> Iterator[Note]:
    """Say which values the model reads as missing or unknown; a column of nothing else is refused."""
    for name, column in fitted_on.items():
        if name not in X.columns:
            hint = nearest(name, [str(c) for c in X.columns if c not in fitted_on])
            mend = f"{hint}pass every column the run was fitted on"
            raise DataError(f"the column {name!r}", "a table without it", mend)
        values = X[name]
        present = values.notna().to_numpy()
        if column.kind == "category":
            unknown = present & ~np.isin(as_text(values).astype(str), np.asarray(list(column.known), dtype=str))
            if unknown.any():
                yield Note(f"column {name!r}", "new or rare categories were taken as unknown", int(unknown.sum()))
            continue
        if column.kind in ("number", "boolean"):
            lost, words = present & np.isnan(as_number(values)), "numbers"
        elif column.kind == "date":
            lost, words = present & np.isnan(date_parts(values, column.form)["days"]), "dates"
        else:
            continue
        if lost.any():
            shown = brief(values[lost].unique(), 3)
            if lost.sum() == present.sum():
                raise DataError(f"{words} in column {name!r}, as the run was fitted on", shown, "correct the column")
            yield Note(
                f"column {name!r}", f"values that are no {words} were taken as missing: {shown}", int(lost.sum())
            )


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
        received = repr(path.name) if path.name else "an empty name"
        raise DataError("a .csv or .parquet file to write", received, "name for example predictions.csv")
    folder = path.absolute().parent
    if not folder.is_dir():
        received = "a file of that name" if folder.exists() else "none of that name"
        raise DataError(f"the folder {folder}", received, "make it first, or choose another")
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
