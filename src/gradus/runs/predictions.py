"""Predictions of a run's model, in blocks: a file of any size is answered in the memory of one block."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from gradus.core.errors import DamagedFileError, DataError, nearest
from gradus.core.storage import atomic_write, storage_errors, temporary_beside
from gradus.data.columns import infer_columns
from gradus.data.dataset import Note, brief
from gradus.data.frames import as_number, as_text, date_parts, written_as
from gradus.data.images import (
    check_damaged,
    decode_each,
    image_sizes,
    list_images,
    parts_of,
    readable,
    with_channels,
)
from gradus.data.parquet import PARQUET, ParquetSource, is_parquet_folder
from gradus.data.reading import read
from gradus.data.survey_images import SIZED
from gradus.data.tables import LARGEST, without_values_beyond
from gradus.data.texts import lines_of, with_texts
from gradus.estimators.gradient import ANSWER_BYTES, ANSWER_ROWS
from gradus.estimators.persistence import load
from gradus.practice.alone import ALONE
from gradus.practice.answers import predict
from gradus.runs.job import prepare_again
from gradus.runs.opened_rows import OpenedRows
from gradus.runs.other_answers import alone_frame, corpus_frame, forecast_frame, patches_frame
from gradus.runs.record import RunFolder, RunRecord

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["check_finished", "fitted_model", "predict_blocks", "predict_run", "predict_to"]

# Beyond this many classes a column of probabilities each is more than anyone reads.
MAX_PROBABILITY_COLUMNS = 30
# Rows answered at once: a multiple of what goes through a network at once, so that blocks change no bit.
BLOCK = 1 << 16


def predict_run(
    path: str | Path, data: str | Path, out: str | Path | None = None, *, console: Console | None = None
) -> pd.DataFrame:
    """Predict rows or images with the model a run chose, and return all answers.

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
    frame = pd.concat(list(predict_blocks(path, data, console=console)), ignore_index=True)
    if target is not None:
        _write([frame], target)
    return frame


def predict_to(path: str | Path, data: str | Path, out: str | Path, *, console: Console | None = None) -> int:
    """Predict into a file, which is written whole or not at all, and return how many rows it has.

    Memory holds one block of rows of a Parquet file, a folder of those or a folder of images; other sources are read
    whole. Parameters as in `predict_run`.
    """
    target = _writable(Path(out))
    return _write(predict_blocks(path, data, console=console), target)


def predict_blocks(path: str | Path, data: str | Path, *, console: Console | None = None) -> Iterator[pd.DataFrame]:
    """Yield the answers in blocks of rows, in order; parameters and columns as in `predict_run`.

    What was changed or left out is told where it is known: before the first block of data in memory, after the last
    block of data that are streamed.
    """
    folder = RunFolder.open(path)
    record = folder.read_record()
    check_finished(folder, record)
    notes = _Notes(console)
    if record.data is not None and record.data.kind in ("series", "corpus"):
        answer = forecast_frame if record.data.kind == "series" else corpus_frame
        yield answer(fitted_model(folder, record)[0], data, record, notes.add)
        notes.tell()
        return
    if record.task in ALONE and record.data is not None and record.data.kind in ("table", "images", "pictures"):
        tell = patches_frame if record.data.kind == "pictures" else alone_frame
        yield tell(fitted_model(folder, record)[0], data, record, notes.add)
        notes.tell()
        return
    rows = _rows(data, record, notes)
    model, columns = fitted_model(folder, record)
    strange = _Strange(columns)
    for X, names in rows.blocks(columns):
        if isinstance(X, pd.DataFrame):
            found: list[Note] = []
            X = without_values_beyond(LARGEST, X, found)
            notes.add(found)
            strange.look(X)
        if rows.whole:
            notes.add(strange.notes())
            notes.tell()
        frame = _frame(model, X, record)
        if names is not None:
            frame.insert(0, "file", names)
        yield frame
    if not rows.whole:
        notes.add(strange.notes())
        notes.tell()


# ---- what is read ----


class _Notes:
    """Gather notes of many blocks, and tell each once with the sum of its counts."""

    def __init__(self, console: Console | None) -> None:
        self.console = console
        self.counts: dict[tuple[str, str], int] = {}

    def add(self, notes: Iterable[Note]) -> None:
        for note in notes:
            key = (note.what, note.why)
            self.counts[key] = self.counts.get(key, 0) + note.count

    def tell(self) -> None:
        for (what, why), count in self.counts.items():
            if self.console is not None:
                self.console.print(f"note {Note(what, why, count)}", markup=False, soft_wrap=True)


class _Whole:
    """Data read into memory: one block."""

    whole = True

    def __init__(self, data: str | Path, record: RunRecord, notes: _Notes) -> None:
        size, channels = _shape(record)
        roles = {} if record.data is None else record.data.roles
        path = Path(data).expanduser()
        lines = lines_of(path, roles["text"]) if "text" in roles else None
        self.data = lines or read(str(data), require_target=False, image_size=size, channels=channels)
        if "text" in roles and self.data.kind == "table":
            self.data = with_texts(self.data, roles["text"], asked=True)
        _check_kind(self.data.kind, record)
        notes.add(self.data.notes)

    def blocks(self, columns: dict[str, _Column]) -> Iterator[tuple[Any, list[str] | None]]:
        yield self.data.X, self.data.row_names


class _Table:
    """Parquet files, in blocks of rows."""

    whole = False

    def __init__(self, source: ParquetSource, record: RunRecord, notes: _Notes) -> None:
        self.source = source
        _check_kind("table", record)
        nested = "nested values were turned into text"
        notes.add(Note(f"column {name!r}", nested) for name in sorted(source.nested))

    def blocks(self, columns: dict[str, _Column]) -> Iterator[tuple[Any, list[str] | None]]:
        import pyarrow as pa

        names = list(columns) or self.source.names
        _check_columns(self.source.names, columns)
        self._look_ahead(columns)
        held: list[Any] = []
        left = BLOCK
        for group in self.source.groups:
            for table in self.source.pieces(group, names):
                while len(table):
                    held.append(table.slice(0, left))
                    left -= len(held[-1])
                    table = table.slice(len(held[-1]))
                    if not left:
                        yield self.source.frame(pa.concat_tables(held)), None
                        held, left = [], BLOCK
        if held:
            yield self.source.frame(pa.concat_tables(held)), None

    def _look_ahead(self, columns: dict[str, _Column]) -> None:
        """Refuse a column of nothing but words where numbers or dates were fitted, before anything is answered."""
        texts = {n: c for n, c in columns.items() if c.kind in _WORDS and self.source.is_text(n)}
        if not texts:
            return
        strange = _Strange(texts)
        for group in self.source.groups:
            for table in self.source.pieces(group, list(texts)):
                strange.look(self.source.frame(table))
        list(strange.notes())


class _Images:
    """The images of a folder, decoded in blocks."""

    whole = False

    def __init__(
        self, folder: Path, root: Path, files: list[str], size: tuple[int, int], channels: int, notes: _Notes
    ) -> None:
        self.prefix = root.relative_to(folder).as_posix()
        self.root, self.files, self.size, self.channels, self.notes = root, files, size, channels, notes
        if set(image_sizes([root / name for name in files[:: max(1, len(files) // SIZED)]])) != {size}:
            why = f"scaled to {size[0]}x{size[1]} pixels, proportions not kept"
            notes.add([Note("image sizes", why)])

    def blocks(self, columns: dict[str, _Column]) -> Iterator[tuple[Any, list[str] | None]]:
        many = _at_once(self.size, self.channels)
        damaged: list[str] = []
        for low in range(0, len(self.files), many):
            files = self.files[low : low + many]
            names = [readable(name if self.prefix == "." else f"{self.prefix}/{name}") for name in files]
            decoded = decode_each([self.root / name for name in files], self.size)
            damaged += [name for name, image in zip(names, decoded, strict=True) if image is None]
            good = [(name, image) for name, image in zip(names, decoded, strict=True) if image is not None]
            if good:
                yield np.stack([with_channels(image, self.channels) for _, image in good]), [name for name, _ in good]
        found: list[Note] = []
        check_damaged(damaged, len(self.files), found)
        self.notes.add(found)


def _at_once(size: tuple[int, int], channels: int) -> int:
    """Return how many images are answered at once: as many as go through a network at once."""
    return max(1, min(ANSWER_ROWS, ANSWER_BYTES // (size[0] * size[1] * channels)))


def _rows(data: str | Path, record: RunRecord, notes: _Notes) -> _Whole | _Table | _Images:
    """Return what reads the data in the way that suits them."""
    path = Path(data).expanduser()
    table = record.data is not None and record.data.kind == "table"
    if table and str(data).strip() and (is_parquet_folder(path) or (path.is_file() and path.suffix.lower() in PARQUET)):
        source = ParquetSource(path)
        if source.n_rows > BLOCK and not source.holds_bytes():
            return _Table(source, record, notes)
    elif path.is_dir() and record.data is not None and record.data.kind == "images":
        root, _ = parts_of(path)
        files, others = list_images(root)
        size, channels = _shape(record)
        if size is not None and channels is not None and len(files) > _at_once(size, channels):
            notes.add([Note("files that are no images", "left alone", others)] if others else [])
            return _Images(path, root, files, size, channels, notes)
    return _Whole(data, record, notes)


def _shape(record: RunRecord) -> tuple[tuple[int, int] | None, int | None]:
    shape = None if record.data is None else record.data.shape
    return (None, None) if not shape else ((shape[0], shape[1]), shape[2])


def _check_kind(kind: str, record: RunRecord) -> None:
    fitted = "" if record.data is None else record.data.kind
    if kind != fitted:
        words = {"table": "a table", "images": "images", "texts": "texts"}
        raise DataError(f"{words[fitted]}, as the run was fitted on", words[kind], "pass data of the same kind")


# ---- the model ----


def check_finished(folder: RunFolder, record: RunRecord) -> None:
    """Refuse a run without a model to answer with.

    Raises
    ------
    DataError
        If the run is not finished.
    DamagedFileError
        If its record lacks what a finished run has.
    """
    if record.status == "finished" and (record.data is None or record.rung(record.chosen) is None):
        where = f"a finished run's data and choice in {folder.record_file}"
        raise DamagedFileError(where, "a record without them", "restore the file or fit again")
    if record.chosen is None or record.data is None:
        mend = f"finish it with `gradus resume {folder.path}`"
        raise DataError("a finished run", f"one that is {record.status}", mend)


class _Column(NamedTuple):
    """How a model reads a column: its kind, the format of dates, the categories it knows."""

    kind: str
    form: str | None
    known: Collection[str]


def fitted_model(folder: RunFolder, record: RunRecord) -> tuple[Any, dict[str, _Column]]:
    """Return the chosen model, fitted, and how each column of its table is read.

    Raises
    ------
    DataError
        If the run's data, of which a classical model is made again, are gone or have changed.
    DamagedFileError
        If the network is damaged or gone.
    """
    chosen = record.rung(record.chosen)
    kept = record.kept == record.chosen if record.kept is not None else chosen is not None and chosen.kind == "network"
    if kept:
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
    opened = prepared.opened
    model = opened.finish(opened.contest().fit(rung.estimator, rung))
    train_X = opened.app.data.take(opened.parts.train).X if isinstance(opened, OpenedRows) else None
    if not isinstance(train_X, pd.DataFrame) or rung.kind == "trivial":
        return model, {}
    columns = {}
    for column in infer_columns(train_X):
        values = train_X[column.name]
        form = written_as(values) if column.kind == "date" else None
        columns[column.name] = _Column(column.kind, form, as_text(values) if column.kind == "category" else ())
    return model, columns


# Kinds of columns whose values can be lost, and what they should be.
_WORDS = {"number": "numbers", "boolean": "numbers", "date": "dates"}


class _Seen:
    """What was met in one column: values present, those the model cannot read, and some of these."""

    def __init__(self) -> None:
        self.present = self.lost = self.unknown = 0
        self.examples: list[Any] = []


def _check_columns(names: list[str], columns: dict[str, _Column]) -> None:
    for name in columns:
        if name not in names:
            hint = nearest(name, [c for c in names if c not in columns])
            mend = f"{hint}pass every column the run was fitted on"
            raise DataError(f"the column {name!r}", "a table without it", mend)


class _Strange:
    """Look for values the model reads as missing or unknown; a column of nothing else is refused."""

    def __init__(self, columns: dict[str, _Column]) -> None:
        self.columns = columns
        self.seen = {name: _Seen() for name in columns}
        self.known = {n: np.asarray(list(c.known), dtype=str) for n, c in columns.items() if c.kind == "category"}

    def look(self, X: pd.DataFrame) -> None:
        """Look at one block."""
        _check_columns([str(c) for c in X.columns], self.columns)
        for name, column in self.columns.items():
            values, seen = X[name], self.seen[name]
            present = values.notna().to_numpy()
            if column.kind == "category":
                seen.unknown += int((present & ~np.isin(as_text(values).astype(str), self.known[name])).sum())
                continue
            if column.kind not in _WORDS:
                continue
            dates = column.kind == "date"
            lost = present & np.isnan(date_parts(values, column.form)["days"] if dates else as_number(values))
            seen.present += int(present.sum())
            seen.lost += int(lost.sum())
            if lost.any() and len(seen.examples) < 4:
                seen.examples = list(dict.fromkeys([*seen.examples, *values[lost].unique()[:4].tolist()]))[:4]

    def notes(self) -> Iterator[Note]:
        """Yield a note on each column with strange values, or refuse it."""
        for name, column in self.columns.items():
            seen = self.seen[name]
            if seen.unknown:
                yield Note(f"column {name!r}", "new or rare categories were taken as unknown", seen.unknown)
            if not seen.lost:
                continue
            words, shown = _WORDS[column.kind], brief(seen.examples, 3)
            if seen.lost == seen.present:
                raise DataError(f"{words} in column {name!r}, as the run was fitted on", shown, "correct the column")
            yield Note(f"column {name!r}", f"values that are no {words} were taken as missing: {shown}", seen.lost)


def _frame(model: Any, X: Any, record: RunRecord) -> pd.DataFrame:
    if record.task == "classification":
        answer = predict(model, X)
        columns: dict[str, Any] = {"prediction": answer.labels}
        if answer.probabilities is not None and answer.classes is not None:
            columns["probability"] = answer.probabilities.max(1)
            if len(answer.classes) <= MAX_PROBABILITY_COLUMNS:
                columns |= {f"p({c})": answer.probabilities[:, i] for i, c in enumerate(answer.classes)}
        return pd.DataFrame(columns)
    if record.task == "translate":
        return pd.DataFrame({"prediction": np.asarray(model.predict(X), dtype=object)})
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


# ---- what is written ----


def _writable(path: Path) -> Path:
    if path.suffix.lower() not in (".csv", ".parquet"):
        received = repr(path.name) if path.name else "an empty name"
        raise DataError("a .csv or .parquet file to write", received, "name for example predictions.csv")
    folder = path.absolute().parent
    if not folder.is_dir():
        received = "a file of that name" if folder.exists() else "none of that name"
        raise DataError(f"the folder {folder}", received, "make it first, or choose another")
    return path


def _write(frames: Iterable[pd.DataFrame], path: Path) -> int:
    """Write frames one after the other, the file appearing when the last is written; return the rows."""
    count = _Count(frames)
    if path.suffix.lower() == ".csv":
        atomic_write(path, (frame.to_csv(index=False, header=first).encode() for first, frame in count))
    else:
        with storage_errors(path), _parquet_beside(path, count) as file:
            atomic_write(path, iter(lambda: file.read(1 << 20), b""))
    return count.rows


class _Count:
    """Frames with a mark on the first, their rows counted on the way."""

    def __init__(self, frames: Iterable[pd.DataFrame]) -> None:
        self.frames, self.rows = frames, 0

    def __iter__(self) -> Iterator[tuple[bool, pd.DataFrame]]:
        for number, frame in enumerate(self.frames):
            self.rows += len(frame)
            yield not number, frame


@contextmanager
def _parquet_beside(path: Path, frames: Iterable[tuple[bool, pd.DataFrame]]) -> Iterator[io.BufferedReader]:
    """Lend a temporary Parquet file of the frames, open to be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with temporary_beside(path) as temporary:
        writer = None
        try:
            for _, frame in frames:
                table = pa.Table.from_pandas(frame, preserve_index=False)
                writer = writer or pq.ParquetWriter(temporary, table.schema)
                writer.write_table(table.cast(writer.schema))
        finally:
            if writer is not None:
                writer.close()
        with temporary.open("rb") as file:
            yield file
