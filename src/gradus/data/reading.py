"""One way in: a file, a folder or a named set, read into a `Dataset` with notes on what was done to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from gradus.core.errors import DataError, nearest
from gradus.data.arrays import labelled_images, read_npy, read_npz
from gradus.data.dataset import Dataset, Note
from gradus.data.delimited import read_delimited
from gradus.data.files import COMPRESSIONS, kind_of, must_exist
from gradus.data.images import IMAGE_SUFFIXES, load_images, read_folder
from gradus.data.named import NAMED, load_named
from gradus.data.parquet import PARQUET, ParquetSource, is_parquet_folder
from gradus.data.records import check_fits, read_json_lines, read_parquet
from gradus.data.survey_images import ImageFolder
from gradus.data.tables import table_dataset

__all__ = ["LoadedTable", "larger_than", "load_table", "read", "read_loaded"]

DELIMITED = (".csv", ".tsv", ".txt", ".tab", ".data")
JSON_LINES = (".jsonl", ".ndjson")
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt")
KINDS = "CSV, TSV, Parquet, JSON-lines, .npz, .npy or a folder of images"


def read(
    source: str | Path,
    *,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    group: str | None = None,
    time: str | None = None,
    require_target: bool = True,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    home: str | Path | None = None,
) -> Dataset:
    """Read data to learn from, or to predict for.

    Parameters
    ----------
    source : str or Path
        A delimited text file (.csv, .tsv, .txt; .gz, .bz2 or .xz around it), .parquet, .jsonl, .npz or .npy,
        a folder of Parquet files with the same columns, a folder of class folders of images, or the name of a set
        such as ``"digits"`` (``"./digits"`` is the folder of that name).
    target : str or None
        Which column or array is to be predicted; guessed, with a note, where one is required.
    columns : sequence of str or None
        Columns of a table to use as inputs; all by default.
    group : str or None
        Column or array whose equal values stay on one side of a split.
    time : str or None
        Column or array to split by in time.
    require_target : bool
        True to learn: a target is found, and rows and columns that nothing can be learned from are dropped,
        with notes. False to predict: every row and column stays.
    image_size : (height, width) or None
        Pixels to scale images to; by default their common size, or the median one, at most 128 a side.
    channels : 1, 3 or None
        Grey or colour; by default grey if all images are.
    home : path or None
        Folder to look in for named sets, before the one that ``GRADUS_DATA`` names.

    Raises
    ------
    DataError
        If the source does not exist, is damaged, or nothing can be learned from it; one sentence says which.

    Examples
    --------
    >>> read("iris")
    Dataset('iris', table of 150 rows and 4 columns, target 'species')
    """
    if not str(source).strip():
        raise DataError("a file, a folder or the name of a set", "an empty name", "write for example digits")
    path = Path(source).expanduser()
    if isinstance(source, str) and source in NAMED:
        return _named(str(source), target, columns, group, time, require_target, image_size, home)
    must_exist(path, NAMED)
    if path.is_dir() and not is_parquet_folder(path):
        for role, value in (("target", target), ("group", group), ("time", time), ("columns", columns)):
            if value is not None and require_target:
                raise DataError(f"no {role} for a folder of images", repr(value), "its class folders are the target")
        return read_folder(path, require_target=require_target, image_size=image_size, channels=channels)
    if not path.is_file() and not path.is_dir():
        received = f"{str(path)!r}, a pipe or a device"
        raise DataError("a file or a folder", received, "save its contents as a file first")
    kind = ".parquet" if path.is_dir() else kind_of(path)
    if kind in (".npz", ".npy") and path.suffix.lower() not in COMPRESSIONS:
        read_array = read_npz if kind == ".npz" else read_npy
        return read_array(path, target=target, group=group, time=time, columns=columns, require_target=require_target)
    if kind in IMAGE_SUFFIXES and not require_target:
        images, _, said = load_images([path], [path.name], image_size=image_size, channels=channels)
        return Dataset(
            name=path.stem,
            kind="images",
            X=images,
            notes=tuple(said),
            row_names=[path.name],
            origin=str(path),
            scale=255.0,
        )
    loaded = _load(path, kind)
    image_column = _image_column(loaded.frame)
    if image_column is not None:
        return _image_table(
            loaded.frame, image_column, path, target, group, require_target, image_size, channels, loaded.notes
        )
    return read_loaded(loaded, target=target, columns=columns, group=group, time=time, require_target=require_target)


@dataclass(frozen=True, eq=False)
class LoadedTable:
    """A table as it stands in its files: nothing dropped, no target chosen."""

    frame: pd.DataFrame
    notes: list[Note]
    name: str
    origin: str


def load_table(source: str | Path) -> LoadedTable | None:
    """Return the table a source holds; None for named sets, arrays, images, and whatever `read` will refuse."""
    path = Path(source).expanduser()
    if not str(source).strip() or (isinstance(source, str) and source in NAMED):
        return None
    if not is_parquet_folder(path) and (not path.is_file() or kind_of(path) not in (*DELIMITED, *JSON_LINES, *PARQUET)):
        return None
    loaded = _load(path, ".parquet" if path.is_dir() else kind_of(path))
    return None if _image_column(loaded.frame) is not None else loaded


def read_loaded(
    loaded: LoadedTable,
    *,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    group: str | None = None,
    time: str | None = None,
    require_target: bool = True,
    written: bool = False,
) -> Dataset:
    """Make a data set of a loaded table; parameters and errors as of `read`.

    With ``written`` the target is text to be written, and not classes to choose from.
    """
    return table_dataset(
        loaded.frame,
        name=loaded.name,
        origin=loaded.origin,
        target=target,
        columns=columns,
        group=group,
        time=time,
        require_target=require_target,
        written=written,
        notes=loaded.notes,
    )


def _load(path: Path, kind: str) -> LoadedTable:
    frame, notes = _frame(path, kind)
    return LoadedTable(frame, notes, path.name.split(".")[0] or path.name, str(path))


def larger_than(memory: float, source: str | Path) -> ParquetSource | ImageFolder | None:
    """Return what can be streamed of a source that takes more than ``memory`` bytes when read, else None.

    Parameters
    ----------
    memory : float
        Bytes of data that may be held.
    source : str or Path
        As in `read`. Parquet files, folders of them and folders of images can be streamed; their footers, and the
        headers of some of the images, tell how large they would be.

    Raises
    ------
    DataError
        If a Parquet file is damaged, or the files of a folder have other columns.

    Examples
    --------
    >>> larger_than(1.0, "iris") is None
    True
    """
    path = Path(source).expanduser()
    if not str(source).strip() or (isinstance(source, str) and source in NAMED) or not path.exists():
        return None
    found: ParquetSource | ImageFolder
    if is_parquet_folder(path) or (path.is_file() and path.suffix.lower() in PARQUET):
        found = ParquetSource(path)
        if found.n_bytes > memory and not found.holds_bytes():
            return found
    elif path.is_dir() and path.resolve() != Path(path.resolve().anchor):
        found = ImageFolder(path)
        if found.files and found.n_bytes > memory:
            return found
    return None


def _frame(path: Path, kind: str) -> tuple[pd.DataFrame, list[Note]]:
    if path.is_dir():
        parts = ParquetSource(path)
        check_fits(path, parts.n_rows, len(parts.names))
        return parts.read(), [
            Note(f"column {name!r}", "nested values were turned into text") for name in sorted(parts.nested)
        ]
    if kind in DELIMITED:
        return read_delimited(path)
    if kind in JSON_LINES:
        return read_json_lines(path)
    if kind in PARQUET and path.suffix.lower() not in COMPRESSIONS:
        return read_parquet(path)
    if kind in PICKLES:
        raise DataError(KINDS, f"{path.name}, a pickle, which could run code when read", "export it to CSV or Parquet")
    if kind in IMAGE_SUFFIXES:
        raise DataError(KINDS, f"the single image {path.name}", "name its folder")
    mends = {
        ".xlsx": "export the sheet as CSV",
        ".xls": "export the sheet as CSV",
        ".json": "write one object a line and call it .jsonl",
        ".zip": "unpack it first",
        ".tar": "unpack it first",
    }
    raise DataError(KINDS, f"{path.name!r}", mends.get(kind, "convert it, or rename it by what it holds"))


def _named(
    name: str,
    target: str | None,
    columns: Sequence[str] | None,
    group: str | None,
    time: str | None,
    require_target: bool,
    image_size: tuple[int, int] | None,
    home: str | Path | None,
) -> Dataset:
    data = load_named(name, home=home)
    if isinstance(data.X, pd.DataFrame):
        frame = data.X if data.y is None else data.X.assign(**{str(data.target): np.asarray(data.y)})
        return table_dataset(
            frame,
            name=data.name,
            origin=data.origin,
            target=target or data.target,
            columns=columns,
            group=group,
            time=time,
            require_target=require_target,
            notes=data.notes,
        )
    if target is not None and target != data.target and require_target:
        raise DataError(
            f"the target {data.target!r} of {name}",
            repr(target),
            f"{nearest(target, [str(data.target)])}leave it out",
        )
    if image_size is not None and image_size != data.X.shape[1:3]:
        raise DataError(f"images of {data.X.shape[1:3]}, as {name} has them", str(image_size), "leave image_size out")
    return data


def _image_column(frame: pd.DataFrame) -> str | None:
    """Return the column that holds encoded images, as bytes or as structs with bytes in them."""
    for column in frame.columns:
        if frame[column].dtype == object:
            first = next((v for v in frame[column] if v is not None), None)
            content = first.get("bytes") if isinstance(first, dict) else first
            if isinstance(content, bytes) and content.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"RIFF")):
                return str(column)
    return None


def _image_table(
    frame: pd.DataFrame,
    column: str,
    path: Path,
    target: str | None,
    group: str | None,
    require_target: bool,
    image_size: tuple[int, int] | None,
    channels: int | None,
    notes: list[Note],
) -> Dataset:
    """Make images of a table with a column of encoded ones; a column ``split`` tells the test part."""
    contents = [v.get("bytes") if isinstance(v, dict) else v for v in frame[column]]
    sources = [content if isinstance(content, bytes) else b"" for content in contents]
    names = [f"row {i}" for i in range(len(frame))]
    images, kept, more = load_images(sources, names, image_size=image_size, channels=channels)
    frame = frame.iloc[kept].reset_index(drop=True)
    if not require_target:
        return Dataset(
            name=path.stem, kind="images", X=images, notes=(*notes, *more), origin=str(path), scale=255.0,
            row_names=[names[i] for i in kept],
        )  # fmt: skip
    others = [str(c) for c in frame.columns if c not in (column, "split", group)]
    target = target or next((c for c in others if c.lower() in ("label", "class", "target", "y", "labels")), None)
    if target is None or target not in frame.columns:
        hint = nearest(target or "", others)
        raise DataError(f"a column of labels beside {column!r}", repr(target), f"{hint}there are: {', '.join(others)}")
    if frame[target].isna().any():
        raise DataError(f"a label in every row of {target!r}", "missing ones", "drop those rows")
    y = frame[target].to_numpy()
    y = y if y.dtype.kind in "biuf" else y.astype(str)
    groups = None if group is None else frame[group].astype(str).to_numpy().astype(str)
    test = None
    part = frame["split"].astype(str).str.lower().to_numpy() if "split" in frame.columns else np.array([])
    in_test = part == "test"
    if in_test.any() and not in_test.all():
        test = (images[in_test], y[in_test])
        images, y = images[~in_test], y[~in_test]
        groups = None if groups is None else groups[~in_test]
        notes.append(Note("test part", "the rows that the column 'split' calls test", len(test[0])))
    found = Note("arrays", f"images from the column {column!r}, labels from {target!r}")
    data = labelled_images(images, y, target, test, path.stem, str(path), 255.0, [*notes, found, *more], groups)
    return replace(data, test=test)
