"""Data sets known by name: five embedded in scikit-learn, and the two MNISTs, found on disk or downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from gradus.core.arrays import load_npz
from gradus.core.errors import DataError, nearest
from gradus.data.arrays import to_images
from gradus.data.dataset import Dataset, Note
from gradus.data.download import Progress, cache_folder, fetch
from gradus.data.idx import read_idx

__all__ = ["NAMED", "NamedSet", "RemoteFile", "load_named", "load_remote"]

FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DIGITS = tuple(str(i) for i in range(10))


@dataclass(frozen=True)
class RemoteFile:
    """A file of a set: what it holds, its name at the home, its MD5."""

    part: Literal["x_train", "y_train", "x_test", "y_test"]
    name: str
    md5: str


@dataclass(frozen=True, kw_only=True)
class NamedSet:
    """A data set known by name.

    Parameters
    ----------
    name : str
        What to call it.
    kind : {"table", "images"}
        What a row is.
    what : str
        One line about it.
    target : str
        What is to be predicted.
    home : str
        The address its files are downloaded from, or where else it lives.
    files : tuple of RemoteFile
        The gzipped IDX files below the home; empty for embedded sets.
    classes : tuple of str
        The classes' names by their numbers; empty where the labels name themselves.
    """

    name: str
    kind: Literal["table", "images"]
    what: str
    target: str
    home: str = "scikit-learn"
    files: tuple[RemoteFile, ...] = ()
    classes: tuple[str, ...] = ()


NAMED: dict[str, NamedSet] = {
    "digits": NamedSet(
        name="digits",
        kind="images",
        what="1,797 handwritten digits of 8x8 pixels, 0 to 16 bright",
        target="digit",
        classes=DIGITS,
    ),
    "iris": NamedSet(
        name="iris",
        kind="table",
        what="150 iris flowers of three species, four measures each",
        target="species",
    ),
    "wine": NamedSet(
        name="wine",
        kind="table",
        what="178 wines of three cultivars, 13 chemical measures each",
        target="cultivar",
    ),
    "breast_cancer": NamedSet(
        name="breast_cancer",
        kind="table",
        what="569 tumours, 30 measures of their cells each",
        target="diagnosis",
    ),
    "diabetes": NamedSet(
        name="diabetes",
        kind="table",
        what="442 patients, ten measures each, and the disease's progress a year later",
        target="progression",
    ),
    "mnist": NamedSet(
        name="mnist",
        kind="images",
        what="70,000 handwritten digits of 28x28 pixels, 10,000 of them for testing",
        target="digit",
        home="https://ossci-datasets.s3.amazonaws.com/mnist/",
        files=(
            RemoteFile("x_train", "train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            RemoteFile("y_train", "train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            RemoteFile("x_test", "t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            RemoteFile("y_test", "t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        classes=DIGITS,
    ),
    "fashion_mnist": NamedSet(
        name="fashion_mnist",
        kind="images",
        what="70,000 pieces of clothing of ten kinds, 28x28 pixels, 10,000 of them for testing",
        target="article",
        home="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        files=(
            RemoteFile("x_train", "train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            RemoteFile("y_train", "train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            RemoteFile("x_test", "t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            RemoteFile("y_test", "t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        classes=FASHION,
    ),
}


def load_named(name: str, *, home: str | Path | None = None, progress: Progress | None = None) -> Dataset:
    """Load a set by its name.

    Embedded sets need nothing. The others are looked for as ``<name>.npz`` or ``vision/<name>.npz`` in
    ``home`` or the folder that ``GRADUS_DATA`` names, then in the cache, and are then downloaded.

    Parameters
    ----------
    name : str
        A key of `NAMED`.
    home : path or None
        Folder to look in instead of the one ``GRADUS_DATA`` names.
    progress : callable or None
        Told how a download goes, as in `gradus.data.download.fetch`.

    Raises
    ------
    DataError
        If there is no such set, or it cannot be had.

    Examples
    --------
    >>> load_named("digits")
    Dataset('digits', 1,797 images of 8x8x1, target 'digit')
    """
    if name not in NAMED:
        raise DataError("the name of a set", repr(name), f"{nearest(name, NAMED)}there are: {', '.join(NAMED)}")
    entry = NAMED[name]
    if entry.files:
        return load_remote(entry, home=home, progress=progress)
    return _EMBEDDED[name](entry)


def load_remote(entry: NamedSet, *, home: str | Path | None = None, progress: Progress | None = None) -> Dataset:
    """Load a set of IDX files from ``home``, ``GRADUS_DATA``, the cache or its public home, in this order."""
    named = home or os.environ.get("GRADUS_DATA")
    folder = Path(named).expanduser() if named else None
    for path in () if folder is None else (folder / f"{entry.name}.npz", folder / "vision" / f"{entry.name}.npz"):
        if path.is_file():
            arrays = load_npz(path)
            return _from_parts(entry, arrays, str(path))
    cache = cache_folder() / entry.name
    mend = f"connect to the network, or put {entry.name}.npz into a folder and name that in GRADUS_DATA"
    parts: dict[str, np.ndarray] = {}
    for file in entry.files:
        path = fetch(entry.home + file.name, cache / file.name, checksum=file.md5, mend=mend, progress=progress)
        parts[file.part] = read_idx(path)
    return _from_parts(entry, parts, entry.home)


def _from_parts(entry: NamedSet, parts: dict[str, np.ndarray], origin: str) -> Dataset:
    missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in parts]
    if missing:
        raise DataError(f"arrays x_train, y_train, x_test, y_test in {origin}", f"no {missing[0]}", "remove that file")
    sides = []
    for side in ("train", "test"):
        X, y = parts[f"x_{side}"], parts[f"y_{side}"]
        images, _ = to_images(X, f"x_{side}", origin, [])
        if y.shape != (len(X),) or y.dtype.kind not in "iu" or (len(y) and int(y.max()) >= len(entry.classes)):
            received = f"{y.dtype} of shape {y.shape}"
            raise DataError(f"{len(X)} class numbers in y_{side} of {origin}", received, "remove that file")
        sides.append((images, np.array(entry.classes)[y] if entry.classes != DIGITS else y.astype(np.int64)))
    (X, y), test = sides
    note = Note("test part", f"the publisher's own: {len(test[0]):,} of {len(test[0]) + len(X):,} images")
    return Dataset(
        name=entry.name,
        kind="images",
        X=X,
        y=y,
        target=entry.target,
        test=test,
        notes=(note,),
        origin=origin,
        scale=255.0,
    )


def _digits(entry: NamedSet) -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Dataset(
        name=entry.name,
        kind="images",
        X=bunch.images.astype(np.uint8)[:, :, :, None],
        y=bunch.target.astype(np.int64),
        target=entry.target,
        origin=entry.home,
        scale=16.0,
    )


def _table(loader: str, **options: Any) -> Callable[[NamedSet], Dataset]:
    def load(entry: NamedSet) -> Dataset:
        from sklearn import datasets

        bunch = getattr(datasets, loader)(as_frame=True, **options)
        y = bunch.target
        if "target_names" in bunch:
            y = pd.Series(np.asarray(bunch.target_names, dtype=str)[bunch.target], dtype=object).astype(str)
        return Dataset(
            name=entry.name,
            kind="table",
            X=bunch.data,
            y=y.rename(entry.target),
            target=entry.target,
            origin=entry.home,
        )

    return load


_EMBEDDED: dict[str, Callable[[NamedSet], Dataset]] = {
    "digits": _digits,
    "iris": _table("load_iris"),
    "wine": _table("load_wine"),
    "breast_cancer": _table("load_breast_cancer"),
    "diabetes": _table("load_diabetes", scaled=False),
}
