"""Large pictures of any sizes, as patches are cut from: a folder, an array file, or one picture for each array."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gradus.core.arrays import load_npy, load_npz
from gradus.core.errors import DataError
from gradus.data.arrays import INPUT_NAMES
from gradus.data.dataset import Note
from gradus.data.files import kind_of
from gradus.data.images import IMAGE_SUFFIXES, check_damaged, decode, find_images, image_sizes, readable
from gradus.data.parquet import is_parquet_folder

__all__ = ["Pictures", "read_pictures"]

MAX_SIDE = 640  # pixels: in larger photographs what a small patch shows is blur and grain
MAX_PIXELS = 100_000_000  # in all
SIZED = 64  # files whose headers tell how large the pictures of a folder are


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of any sizes.

    Attributes
    ----------
    pictures : list of ndarray
        Each uint8 of shape (height, width) or (height, width, channels).
    names : list of str
        One each.
    name, origin : str
        Of all.
    notes : tuple of Note
        What was shrunk or left out.
    """

    pictures: list[np.ndarray]
    names: list[str]
    name: str
    origin: str
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)


def read_pictures(source: str | Path, least: int) -> Pictures | None:
    """Read pictures whose shorter side is usually ``least`` pixels or more; None where a source holds no such.

    Parameters
    ----------
    source : str or Path
        A folder with pictures anywhere below it, a picture, an ``.npy`` stack, an ``.npz`` with a stack named as inputs
        are or with one picture in each array, or the name of such an ``.npz`` in the folder that ``GRADUS_DATA`` names.
    least : int
        Pixels.

    Raises
    ------
    DataError
        If pictures are damaged, or all too large together.

    Examples
    --------
    >>> read_pictures("iris", 64) is None
    True
    """
    path = _found(source)
    if path is None:
        return None
    if path.is_dir():
        return None if is_parquet_folder(path) else _folder(path, least)
    kind = kind_of(path)
    if kind in IMAGE_SUFFIXES:
        return _files([path], [path.name], path.stem, path, [])
    if kind not in (".npz", ".npy") or path.suffix.lower() != kind:
        return None
    arrays = load_npz(path) if kind == ".npz" else {path.stem: load_npy(path)}
    return _arrays(arrays, path, least)


def _found(source: str | Path) -> Path | None:
    path = Path(source).expanduser()
    if not str(source).strip():
        return None
    if path.exists():
        return path if path.is_file() or path.resolve() != Path(path.resolve().anchor) else None
    home = os.environ.get("GRADUS_DATA")
    if home and isinstance(source, str) and path.name == source:
        for place in (Path(home).expanduser(), Path(home).expanduser() / "vision"):
            if (place / f"{source}.npz").is_file():
                return place / f"{source}.npz"
    return None


def _folder(folder: Path, least: int) -> Pictures | None:
    files, others = find_images(folder)
    sizes = image_sizes(files[:: max(1, len(files) // SIZED)])
    if not sizes or np.median([min(size) for size in sizes]) < least:
        return None
    notes = [Note("files that are no images", "left alone", others)] if others else []
    height, width = (float(np.mean([min(size[axis], MAX_SIDE) for size in sizes])) for axis in (0, 1))
    kept = _within(len(files), height * width, notes)
    files = [files[i] for i in kept]
    names = [readable(path.relative_to(folder).as_posix()) for path in files]
    return _files(files, names, folder.name, folder, notes)


def _files(files: list[Path], names: list[str], name: str, origin: Path, notes: list[Note]) -> Pictures:
    pictures, kept, damaged, large = [], [], [], 0
    for path, called in zip(files, names, strict=True):
        try:
            picture = decode(path)
        except OSError:
            damaged.append(called)
            continue
        small = _shrunk(picture)
        large += small is not picture
        pictures.append(small)
        kept.append(called)
    check_damaged(damaged, len(files), notes)
    return Pictures(pictures, kept, name, str(origin), (*notes, *_shrinking(large)))


def _arrays(arrays: dict[str, np.ndarray], path: Path, least: int) -> Pictures | None:
    stacked = [key for key in arrays if any(word in INPUT_NAMES for word in key.lower().split("_"))]
    if len(arrays) == 1 or stacked:
        key = stacked[0] if stacked else next(iter(arrays))
        stack = arrays[key]
        if stack.ndim in (3, 4) and not (stack.ndim == 3 and stack.shape[2] in (1, 3, 4)):
            if not all(_is_picture(picture, least) for picture in stack[:1]):
                return None
            notes: list[Note] = []
            kept = _within(len(stack), float(np.prod(stack.shape[1:3])), notes)
            return _of((f"{key}[{i}]" for i in kept), (stack[i] for i in kept), path, notes)
    tables = list(arrays) if len(arrays) == 1 else [key for key in stacked if "image" not in key.lower()]
    if any(arrays[key].ndim == 2 for key in tables):
        return None  # rows and columns
    if not arrays or not all(_is_picture(array, least) for array in arrays.values()):
        return None
    return _of(arrays, arrays.values(), path, [])


def _is_picture(array: np.ndarray, least: int) -> bool:
    plane = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    return plane and array.dtype.kind in "biuf" and min(array.shape[:2]) >= least


def _of(names: Iterable[str], arrays: Iterable[np.ndarray], path: Path, notes: list[Note]) -> Pictures:
    brightened = [_eight_bits(array, path) for array in arrays]
    pictures = [_shrunk(picture) for picture in brightened]
    large = sum(a is not b for a, b in zip(pictures, brightened, strict=True))
    return Pictures(pictures, list(names), path.stem, str(path), (*notes, *_shrinking(large)))


def _eight_bits(array: np.ndarray, path: Path) -> np.ndarray:
    """Return brightness from 0 to 255; colours only, where there is a fourth channel."""
    array = array[..., :3] if array.ndim == 3 and array.shape[2] == 4 else array
    if array.dtype == np.uint8:
        return array
    values = array.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and np.isfinite(high)):
        raise DataError("pixels of 0 or more", f"{low:g} to {high:g} in {path.name}", "rescale them to 0..255")
    top = 1.0 if high <= 1 else 255.0 if high <= 255 else high
    return np.round(values * (255.0 / top)).astype(np.uint8)


def _shrunk(picture: np.ndarray) -> np.ndarray:
    longest = max(picture.shape[:2])
    if longest <= MAX_SIDE:
        return picture
    height, width = (max(1, round(side * MAX_SIDE / longest)) for side in picture.shape[:2])
    flat: Any = picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    return np.asarray(Image.fromarray(flat).resize((width, height), Image.Resampling.BOX))


def _shrinking(large: int) -> list[Note]:
    return [Note("large pictures", f"shrunk to {MAX_SIDE} pixels on the longer side", large)] if large else []


def _within(count: int, pixels: float, notes: list[Note]) -> list[int]:
    """Return which pictures are kept, so that all fit: evenly spread."""
    most = max(1, int(MAX_PIXELS / max(1.0, pixels)))
    if count <= most:
        return list(range(count))
    notes.append(Note("pictures", f"every {count / most:.3g}th of {count:,} was taken", most))
    return np.unique(np.linspace(0, count - 1, most).astype(int)).tolist()
