"""NumPy files as data sets: which array is what, images told from tables by their shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradus.core.arrays import load_npy, load_npz
from gradus.core.errors import DataError, nearest
from gradus.data.dataset import Dataset, Note
from gradus.data.fingerprint import row_hashes
from gradus.data.tables import clean_labels, guess_target, table_dataset

__all__ = ["arrays_dataset", "labelled_images", "read_npy", "read_npz", "to_images"]

INPUT_NAMES = ("x", "images", "image", "data", "features", "inputs", "input", "pixels")
TARGET_NAMES = ("y", "labels", "label", "target", "targets", "classes", "class", "output", "outputs")
CLASS_NAMES = ("class_names", "classes", "target_names", "label_names", "labels_names")
TEST_MARKS, VALID_MARKS = ("test", "t10k"), ("val", "valid", "validation")


def read_npz(
    path: Path,
    *,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    require_target: bool = True,
) -> Dataset:
    """Read an ``.npz`` of inputs and labels; ``target``, ``group`` and ``time`` name arrays in it.

    Raises
    ------
    DataError
        If it holds pickled objects, is damaged, or no array can be told to be the inputs or the labels.
    """
    arrays = {name: _native(array) for name, array in load_npz(path).items()}
    return arrays_dataset(
        arrays,
        name=path.stem,
        origin=str(path),
        target=target,
        group=group,
        time=time,
        columns=columns,
        require_target=require_target,
    )


def read_npy(
    path: Path,
    *,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    require_target: bool = True,
) -> Dataset:
    """Read an ``.npy``: a table with the target among its columns, or images with labels in a file beside it.

    ``x.npy`` belongs with ``y.npy``, ``images.npy`` with ``labels.npy``, ``data.npy`` with ``target.npy``;
    a prefix or suffix such as ``x_train.npy`` may stand around both names.
    """
    X = _native(load_npy(path))
    found = None
    words = {"x": "y", "images": "labels", "image": "label", "data": "target", "features": "labels"}
    for ours, theirs in words.items():
        stem, n = re.subn(rf"(?i)(^|[_\-.]){ours}($|[_\-.])", rf"\g<1>{theirs}\g<2>", path.stem)
        if n and (path.parent / f"{stem}.npy").is_file():
            found = path.parent / f"{stem}.npy"
            break
    arrays = {"x": X} if found is None else {"x": X, "y": _native(load_npy(found))}
    notes = [] if found is None else [Note("labels", f"taken from {found.name} beside {path.name}")]
    if X.ndim == 2 and found is None:
        frame = _frame(X, None)
        return table_dataset(
            frame,
            name=path.stem,
            origin=str(path),
            target=target,
            group=group,
            time=time,
            columns=columns,
            require_target=require_target,
            notes=notes,
        )
    return arrays_dataset(
        arrays, name=path.stem, origin=str(path), columns=columns, require_target=require_target, notes=notes
    )


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array in this machine's byte order: pandas and torch know no other."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def arrays_dataset(
    arrays: Mapping[str, np.ndarray],
    *,
    name: str,
    origin: str,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    require_target: bool = True,
    notes: Sequence[Note] = (),
) -> Dataset:
    """Find inputs, labels and the publisher's test part among named arrays and make a `Dataset` of them.

    Examples
    --------
    >>> made = arrays_dataset({"images": np.zeros((4, 2, 2), np.uint8), "labels": np.array([0, 1, 0, 1])},
    ...                       name="tiny", origin="memory")
    >>> made
    Dataset('tiny', 4 images of 2x2x1, target 'labels')
    """
    notes = list(notes)
    x_key, y_key = _find_inputs(arrays, name), None
    X = arrays[x_key]
    if X.ndim < 2 or not len(X):
        raise DataError(
            f"inputs in {x_key!r} of {name} with a row for each example",
            f"shape {X.shape}",
            "reshape them to (n, ...)",
        )
    if target is not None or require_target:
        y_key = _find_target(arrays, x_key, target, name, require_target)
    y = None if y_key is None else _labels(arrays, y_key, len(X), name, notes)
    groups, order = (_one_each(arrays, key, len(X), name) if key else None for key in (group, time))
    test = _pair(arrays, x_key, y_key, TEST_MARKS, name)
    valid = _pair(arrays, x_key, y_key, VALID_MARKS, name)
    if test is not None and y_key is not None:
        test = (test[0], _name_classes(arrays, y_key, test[1], []))
    if valid is not None and y is not None and groups is None and order is None:
        X, y = np.concatenate([X, valid[0]]), np.concatenate([y, _name_classes(arrays, y_key, valid[1], [])])
        notes.append(Note("validation part", "joined to the training part, to be split anew", len(valid[0])))
    used = ", ".join(repr(key) for key in (x_key, y_key) if key)
    notes.append(Note("arrays", f"took {used}" + (" and the test part beside them" if test else "")))
    if X.ndim == 2:
        return _table(arrays, X, y, y_key, test, groups, order, columns, name, origin, require_target, notes)
    images, scale = to_images(X, x_key, name, notes)
    if test is not None:
        test = (to_images(test[0], x_key, name, [])[0], test[1])
    if y is None or not require_target:
        return Dataset(
            name=name,
            kind="images",
            X=images,
            y=y,
            target=_plain(y_key),
            test=test,
            notes=tuple(notes),
            origin=origin,
            groups=groups,
            time=order,
            scale=scale,
        )
    return labelled_images(images, y, _plain(y_key) or "y", test, name, origin, scale, notes, groups, order)


def labelled_images(
    images: np.ndarray,
    y: np.ndarray,
    target: str,
    test: tuple[Any, Any] | None,
    name: str,
    origin: str,
    scale: float,
    notes: list[Note],
    groups: np.ndarray | None = None,
    time: np.ndarray | None = None,
) -> Dataset:
    """Check the labels of images, drop classes of one row, count duplicates, and make a `Dataset`."""
    lonely, note = clean_labels(y, target, name)
    if note is not None:
        notes.append(note)
        images, y = images[~lonely], y[~lonely]
        groups, time = (values if values is None else values[~lonely] for values in (groups, time))
    repeated = len(images) - len(np.unique(row_hashes(images)))
    if repeated:
        why = "kept: their pixels equal those of an earlier one; a split keeps equal images on one side"
        notes.append(Note("duplicate images", why, repeated))
    return Dataset(
        name=name,
        kind="images",
        X=images,
        y=y,
        target=target,
        test=test,
        notes=tuple(notes),
        origin=origin,
        groups=groups,
        time=time,
        scale=scale,
    )


def _find_inputs(arrays: Mapping[str, np.ndarray], name: str) -> str:
    lower = {key.lower(): key for key in arrays}
    for word in INPUT_NAMES:
        for form in (f"{word}_train", f"train_{word}", f"{word}train", word):
            if form in lower:
                return lower[form]
    if len(arrays) == 1:
        return next(iter(arrays))
    expected = f"an array of inputs named x_train, X, images or data in {name}"
    if not arrays:
        raise DataError(expected, "a file without arrays", "write it with numpy.savez(file, x=inputs, y=labels)")
    shown = ", ".join(f"{key} {array.shape}" for key, array in list(arrays.items())[:6])
    raise DataError(expected, shown, "rename it")


def _find_target(
    arrays: Mapping[str, np.ndarray], x_key: str, target: str | None, name: str, required: bool
) -> str | None:
    if target is not None:
        if target in arrays:
            return target
        if not required:
            return None
        others = [key for key in arrays if key != x_key]
        hint = nearest(target, others)
        raise DataError(f"one of the arrays of {name}", repr(target), f"{hint}there are: {', '.join(others)}")
    lower = {key.lower(): key for key in arrays}
    part = "train" in x_key.lower()
    for word in TARGET_NAMES:
        for form in (f"{word}_train", f"train_{word}", f"{word}train") if part else (word,):
            if form in lower and lower[form] != x_key:
                return lower[form]
    others = [key for key in arrays if key != x_key]
    mend = f"name one with --target: {', '.join(others[:8])}" if others else "add an array of labels named y"
    raise DataError(f"an array of labels named y, labels or target in {name}", "none", mend)


def _plain(key: str | None) -> str | None:
    """Name the target by its array without the mark of its part: ``y_train`` is ``y``."""
    return None if key is None else re.sub(r"(?i)^train_|_?train$", "", key) or key


def _one_each(arrays: Mapping[str, np.ndarray], key: str, n: int, name: str) -> np.ndarray:
    if key not in arrays:
        raise DataError(f"one of the arrays of {name}", repr(key), f"{nearest(key, arrays)}check its name")
    values = arrays[key]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or len(values) != n:
        raise DataError(f"{n} values in {key!r} of {name}", f"shape {values.shape}", "give one value a row")
    return values


def _labels(arrays: Mapping[str, np.ndarray], key: str, n: int, name: str, notes: list[Note]) -> np.ndarray:
    y = arrays[key]
    if y.ndim == 2 and y.shape[1] > 1 and len(y) == n:
        if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
            raise DataError(f"one label a row in {key!r} of {name}", f"shape {y.shape}", "keep one column of it")
        notes.append(Note(f"array {key!r}", f"one-hot rows were turned into {y.shape[1]} classes", len(y)))
        return y.argmax(axis=1)
    y = _one_each(arrays, key, n, name)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        bad = int((~np.isfinite(y)).sum())
        raise DataError(f"finite labels in {key!r} of {name}", f"{bad} that are not", "drop those rows")
    return _name_classes(arrays, key, y, notes)


def _name_classes(arrays: Mapping[str, np.ndarray], key: str | None, y: np.ndarray, notes: list[Note]) -> np.ndarray:
    """Replace class numbers by their names where the file has them."""
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    y = y.reshape(len(y))
    for candidate in (f"{key}_names", *CLASS_NAMES):
        names = arrays.get(candidate)
        if names is None or candidate == key or names.ndim != 1 or names.dtype.kind != "U" or y.dtype.kind not in "iu":
            continue
        if len(y) and 0 <= y.min() and y.max() < len(names):
            notes.append(Note("class names", f"taken from the array {candidate!r}", len(names)))
            return names[y]
    return y


def _pair(
    arrays: Mapping[str, np.ndarray], x_key: str, y_key: str | None, marks: tuple[str, ...], name: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the arrays named as inputs and labels are, with another mark instead of "train"."""
    if y_key is None or "train" not in x_key.lower() or "train" not in y_key.lower():
        return None
    lower = {key.lower(): key for key in arrays}
    for mark in marks:
        keys = [lower.get(key.lower().replace("train", mark)) for key in (x_key, y_key)]
        if keys[0] and keys[1]:
            X, y = arrays[keys[0]], arrays[keys[1]]
            if X.shape[1:] != arrays[x_key].shape[1:] or len(X) != len(y) or not len(X):
                raise DataError(
                    f"{keys[0]!r} of {name} like {x_key!r}",
                    f"shapes {X.shape} and {y.shape}",
                    "check how it was written",
                )
            return X, y
    return None


def to_images(X: np.ndarray, key: str, name: str, notes: list[Note]) -> tuple[np.ndarray, float]:
    """Return uint8 images of shape (n, height, width, channels) and the brightest value a pixel can have."""
    if X.ndim == 3 and X.dtype.kind in "iub":
        X = X[:, :, :, None]
    if X.ndim != 4 or X.dtype.kind not in "iubf":
        raise DataError(
            "a table (n, columns) or images (n, height, width[, channels]) of whole numbers",
            f"{X.dtype} of shape {X.shape} in {key!r} of {name}",
            "reshape it with X.reshape(len(X), -1) to read it as a table",
        )
    # One and three are channels before four is, which may well be a small picture's width.
    channel_axis = next((axis for wanted in ((1, 3), (4,)) for axis in (3, 1) if X.shape[axis] in wanted), 3)
    if channel_axis == 1:
        X = X.transpose(0, 2, 3, 1)
        notes.append(Note("axes", "channels moved from the second place to the last"))
    if X.shape[3] not in (1, 3, 4):
        raise DataError("images of 1, 3 or 4 channels", f"{X.shape[3]} in {key!r} of {name}", "put channels last")
    if X.dtype.kind == "b":
        return np.ascontiguousarray(X, dtype=np.uint8), 1.0
    low, high = float(X.min()), float(X.max())
    if not (low >= 0 and np.isfinite(high)):
        raise DataError("pixels of 0 or more", f"{low:g} to {high:g} in {key!r} of {name}", "rescale them to 0..255")
    if X.dtype.kind == "f" and high <= 1:
        notes.append(Note("pixels", "scaled from 0..1 to 0..255"))
        return np.round(np.ascontiguousarray(X) * 255).astype(np.uint8), 255.0
    if high > 255 or (X.dtype.kind == "f" and not (X == np.floor(X)).all()):
        notes.append(Note("pixels", f"scaled from 0..{high:g} to 0..255"))
        return np.round(np.ascontiguousarray(X) * (255.0 / high)).astype(np.uint8), 255.0
    scale = 1.0 if high <= 1 else 16.0 if high <= 16 else 255.0
    if scale < 255:
        notes.append(Note("pixels", f"the brightest is {high:g}, so 0..{scale:g} was taken as their range"))
    return np.ascontiguousarray(X, dtype=np.uint8), scale


def _frame(X: np.ndarray, names: np.ndarray | None) -> pd.DataFrame:
    if X.dtype.kind not in "biufUM":
        raise DataError("a table of numbers or text", f"an array of {X.dtype}", "convert it")
    if names is None or names.ndim != 1 or len(names) != X.shape[1] or len(set(names.tolist())) != X.shape[1]:
        return pd.DataFrame(X, columns=[f"column_{i + 1}" for i in range(X.shape[1])])
    return pd.DataFrame(X, columns=[str(n) for n in names])


def _table(
    arrays: Mapping[str, np.ndarray],
    X: np.ndarray,
    y: np.ndarray | None,
    y_key: str | None,
    test: tuple[np.ndarray, np.ndarray] | None,
    groups: np.ndarray | None,
    order: np.ndarray | None,
    columns: Sequence[str] | None,
    name: str,
    origin: str,
    require_target: bool,
    notes: list[Note],
) -> Dataset:
    names = next((arrays[k] for k in ("feature_names", "columns", "column_names") if k in arrays), None)
    frame = _frame(X, names)
    inputs = [str(c) for c in frame.columns]
    if y is not None and y_key is not None:
        frame[y_key] = y
    # Groups and times travel as columns, so that dropped rows are dropped from them too.
    extra = {role: v for role, v in ((" group", groups), (" time", order)) if v is not None}
    frame = frame.assign(**extra)
    if require_target and y_key is None:
        y_key, note = guess_target(frame)
        notes.append(note)
    data = table_dataset(
        frame,
        name=name,
        origin=origin,
        target=y_key,
        columns=columns if columns is not None else inputs if extra else None,
        group=" group" if groups is not None else None,
        time=" time" if order is not None else None,
        require_target=require_target,
        notes=notes,
    )
    if test is None:
        return data
    from dataclasses import replace

    frame = pd.DataFrame(test[0], columns=inputs)[[str(c) for c in pd.DataFrame(data.X).columns]]
    return replace(data, test=(frame, pd.Series(test[1], name=y_key)))
