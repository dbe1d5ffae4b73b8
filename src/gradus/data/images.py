"""Images: decoded safely, brought to one size and number of channels, from folders of class folders."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gradus.core.errors import DataError, InputError
from gradus.core.storage import memory_limit
from gradus.data.dataset import Dataset, Note
from gradus.data.fingerprint import row_hashes
from gradus.data.tables import clean_labels

__all__ = [
    "IMAGE_SUFFIXES",
    "BombError",
    "check_damaged",
    "common_size",
    "decode",
    "decode_each",
    "find_images",
    "image_sizes",
    "is_grey",
    "list_images",
    "load_images",
    "parts_of",
    "read_folder",
    "readable",
    "with_channels",
]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".npz", ".npy")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 64_000_000
MAX_SIDE = 128
DAMAGED_SHARE = 0.05
TEST_NAMES, TRAIN_NAMES = ("test", "testing"), ("train", "training")

Source = Path | bytes


class BombError(DataError):
    """An image that claims more pixels than any picture has."""


def _open(source: Source) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except Image.DecompressionBombError:
        raise _bomb(source, "hundreds of millions") from None
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width:,} x {image.height:,} pixels"
        image.close()
        raise _bomb(source, size)
    return image


def _bomb(source: Source, size: str) -> BombError:
    name = str(source) if isinstance(source, Path) else "an image"
    return BombError(
        f"images of at most {MAX_PIXELS // 10**6} million pixels",
        f"{name} of {size}",
        "scale it down or remove it",
    )


def decode(source: Source, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode one image to uint8 of shape (height, width, channels), 1 channel for grey and 3 for colour.

    The orientation a camera stored is applied, transparency laid on white, 16-bit grey scaled to 8.

    Parameters
    ----------
    source : Path or bytes
        A file, or its content.
    size : (height, width) or None
        Scale to this size, pixels, without keeping the proportions.

    Raises
    ------
    BombError
        If the image claims more than 64 million pixels.
    OSError
        If it is damaged, truncated or no image (Pillow's own error).

    Examples
    --------
    >>> out = io.BytesIO()
    >>> Image.new("L", (4, 2), 7).save(out, "PNG")
    >>> decode(out.getvalue()).shape
    (2, 4, 1)
    """
    try:
        with _open(source) as image:
            image.load()
            array = _eight_bits(ImageOps.exif_transpose(image))
            if size is not None and (array.height, array.width) != size:
                array = array.resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=3.0)
            pixels = np.asarray(array)
    except (SyntaxError, ValueError, IndexError, TypeError, EOFError) as error:
        if isinstance(error, BombError):
            raise
        raise OSError(f"damaged image ({error})") from None  # Pillow's plug-ins raise what they like
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        pixels = np.asarray(image, dtype=np.float64)
        top = 65535.0 if pixels.max(initial=0.0) > 255 else 255.0
        return Image.fromarray(np.clip(np.round(pixels * (255.0 / top)), 0, 255).astype(np.uint8))
    if image.mode in ("1", "L"):
        return image.convert("L")
    if "A" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        flat = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        flat.alpha_composite(rgba)
        return flat.convert("L" if image.mode == "LA" else "RGB")
    return image.convert("RGB")


def load_images(
    sources: Sequence[Source],
    names: Sequence[str],
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> tuple[np.ndarray, np.ndarray, list[Note]]:
    """Decode images to one array; up to 5 % of damaged ones are skipped.

    Parameters
    ----------
    sources : sequence of Path or bytes
        Files or their contents.
    names : sequence of str
        What to call each in a message.
    image_size : (height, width) or None
        Pixels; by default their common size, or the median one of different sizes, at most 128 a side.
    channels : 1, 3 or None
        Grey or colour; by default 1 if all are grey.

    Returns
    -------
    tuple
        Images uint8 of shape (n, height, width, channels), the positions kept of shape (n,), and notes.

    Raises
    ------
    DataError
        If more than 5 % are damaged, one is a decompression bomb, or all do not fit in memory.
    """
    _check_shape(image_size, channels)
    notes: list[Note] = []
    sizes = _each(_size, sources)
    good = [s for s in sizes if isinstance(s, tuple)]
    size = image_size or (common_size(good) if good else (1, 1))
    if len(good) * size[0] * size[1] * 3 > memory_limit() // 2:
        raise DataError(
            "images that fit in memory",
            f"{len(good):,} of {size[0]} x {size[1]}",
            "set a smaller image_size, or stream them with gradus.data.streaming.ImageFolderBatches",
        )
    resized = sum(s != size for s in good)
    if resized:
        shown = f"{min(good)[0]}x{min(good)[1]} to {max(good)[0]}x{max(good)[1]}" if len(set(good)) > 1 else ""
        why = f"scaled to {size[0]}x{size[1]} pixels, proportions not kept" + (f" (they were {shown})" if shown else "")
        notes.append(Note("image sizes", why, resized))
    decoded = _each(lambda source: decode(source, size=size), sources)
    kept = np.array([i for i, image in enumerate(decoded) if isinstance(image, np.ndarray)], dtype=np.int64)
    check_damaged([names[i] for i in range(len(names)) if not isinstance(decoded[i], np.ndarray)], len(names), notes)
    return _stack([decoded[i] for i in kept], channels, notes), kept, notes


def _check_shape(image_size: tuple[int, int] | None, channels: int | None) -> None:
    if image_size is not None and not (len(image_size) == 2 and all(1 <= side <= 4096 for side in image_size)):
        raise InputError(
            "image_size as (height, width) of 1 to 4096 pixels", str(image_size), "set for example (64, 64)"
        )
    if channels not in (None, 1, 3):
        raise InputError("channels to be 1 (grey) or 3 (colour)", str(channels), "set channels=3")


def _each(work: Callable[[Source], Any], sources: Sequence[Source]) -> list[Any]:
    """Do the work for every image, in order; what Pillow cannot read gives its error."""

    def tried(source: Source) -> Any:
        try:
            return work(source)
        except (OSError, UnidentifiedImageError, MemoryError) as error:
            return error

    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        # Pillow warns from 89 million pixels on, where we refuse anyway; filters are the whole process's, so
        # they are set here and not in the threads.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module="PIL", category=UserWarning)  # corrupt camera notes harm nothing
        return list(pool.map(tried, sources, chunksize=64))


def _size(source: Source) -> tuple[int, int]:
    with _open(source) as image:
        turned = image.getexif().get(0x0112, 1) >= 5  # the camera lay on its side
        return (image.width, image.height) if turned else (image.height, image.width)


def image_sizes(sources: Sequence[Source]) -> list[tuple[int, int]]:
    """Return height and width of each image whose header can be read."""
    return [size for size in _each(_size, sources) if isinstance(size, tuple)]


def decode_each(sources: Sequence[Source], size: tuple[int, int]) -> list[np.ndarray | None]:
    """Decode images to one size as `decode` does, None in the place of a damaged one."""
    decoded = _each(lambda source: decode(source, size=size), sources)
    return [image if isinstance(image, np.ndarray) else None for image in decoded]


def common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the median height and width, scaled down to 128 pixels a side at most."""
    height, width = (float(np.median([s[axis] for s in sizes])) for axis in (0, 1))
    shrink = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def check_damaged(damaged: list[str], total: int, notes: list[Note]) -> None:
    """Add a note on damaged images, or raise a ``DataError`` if they are more than 5 % of ``total``."""
    if not damaged:
        return
    if len(damaged) > DAMAGED_SHARE * total:
        raise DataError(
            "whole images",
            f"{len(damaged)} damaged {'one' if len(damaged) == 1 else 'ones'} among {total}, {damaged[0]} first",
            "replace or remove them",
        )
    shown = ", ".join(damaged[:3]) + (", ..." if len(damaged) > 3 else "")
    notes.append(Note("damaged images", f"skipped: {shown}", len(damaged)))


def _stack(images: list[np.ndarray], channels: int | None, notes: list[Note]) -> np.ndarray:
    grey = [is_grey(image) for image in images]
    wanted = channels or (1 if all(grey) else 3)
    height, width = images[0].shape[:2]
    out = np.empty((len(images), height, width, wanted), dtype=np.uint8)
    for i, image in enumerate(images):
        out[i] = with_channels(image, wanted)
    if wanted == 1 and not all(grey):
        notes.append(Note("colour", "turned to grey, as asked for", grey.count(False)))
    elif wanted == 3 and any(grey) and not all(grey):
        notes.append(Note("grey images", "given three equal channels: others are in colour", grey.count(True)))
    return out


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image of shape (height, width, 1 or 3) with that many channels; colour turns to its luma."""
    if channels == image.shape[2]:
        return image
    if channels == 3:
        return np.broadcast_to(image, (*image.shape[:2], 3))
    return image[:, :, :1] if is_grey(image) else np.asarray(Image.fromarray(image).convert("L"))[:, :, None]


def is_grey(image: np.ndarray) -> bool:
    """Whether an image of shape (height, width, 1 or 3) has one channel, or three equal ones."""
    if image.shape[2] == 1:
        return True
    return np.array_equal(image[:, :, 0], image[:, :, 1]) and np.array_equal(image[:, :, 0], image[:, :, 2])


def list_images(folder: Path) -> tuple[list[str], int]:
    """Return the names of the image files below a folder, in order and with slashes, and the number of other files."""
    files, others = [], 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        below = Path(root).relative_to(folder).as_posix()
        for name in names:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                files.append(name if below == "." else f"{below}/{name}")
            elif not name.startswith(".") and name not in ("Thumbs.db", "desktop.ini"):
                others += 1
    return sorted(files), others


def find_images(folder: Path) -> tuple[list[Path], int]:
    """Return the image files below a folder in the order of their paths, and the number of other files."""
    names, others = list_images(folder)
    return [folder / name for name in names], others


def parts_of(folder: Path) -> tuple[Path, Path | None]:
    """Return the folder that holds the class folders, and the publisher's test folder, if there is one.

    Raises
    ------
    DataError
        If the folder is the root of the file system, which nobody means.
    """
    if folder.resolve() == Path(folder.resolve().anchor):
        raise DataError("a folder of class folders of images", "the root of the file system", "name the folder")
    parts = {sub.name.lower(): sub for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith(".")}
    train = next((parts[name] for name in TRAIN_NAMES if name in parts), None)
    test = next((parts[name] for name in TEST_NAMES if name in parts), None)
    divided = train is not None and test is not None and set(parts) <= {*TRAIN_NAMES, *TEST_NAMES}
    return (train, test) if divided and train is not None else (folder, None)


def read_folder(
    folder: Path,
    *,
    require_target: bool = True,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> Dataset:
    """Read a folder of class folders of images, or of ``train`` and ``test`` folders of those.

    Parameters
    ----------
    folder : Path
        Holds one folder a class, named as the class; images may lie deeper inside.
    require_target : bool
        Images to learn from; otherwise any images below the folder will do.
    image_size, channels
        As in `load_images`.

    Raises
    ------
    DataError
        If there is no image, one class only, or too many damaged ones.
    """
    root, test = parts_of(folder)
    files, others = find_images(root)
    notes: list[Note] = []
    if not files:
        tables = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES)
        mend = f"name the file, such as {str(folder / tables[0])!r}" if tables else "check the path"
        expected = f"images ({', '.join(IMAGE_SUFFIXES[:6])}, ...) below {str(root)!r}"
        raise DataError(expected, "none", mend)
    if others:
        notes.append(Note("files that are no images", "left alone", others))
    if not require_target:
        names = _names(files, folder)
        images, kept, more = load_images(files, names, image_size=image_size, channels=channels)
        rows = [names[i] for i in kept]
        return Dataset(
            name=folder.name,
            kind="images",
            X=images,
            notes=(*notes, *more),
            row_names=rows,
            origin=str(folder),
            scale=255.0,
        )
    labels = _labels(files, root, notes)
    files, labels = _drop_lonely(files, labels, folder, notes)
    names = _names(files, folder)
    images, kept, more = load_images(files, names, image_size=image_size, channels=channels)
    _report_duplicates(images, more)
    data = Dataset(
        name=folder.name,
        kind="images",
        X=images,
        y=labels[kept],
        target="class",
        notes=(*notes, *more),
        row_names=[names[i] for i in kept],
        origin=str(folder),
        scale=255.0,
    )
    return data if test is None else _with_test_part(data, test, images)


def _names(files: Sequence[Path], folder: Path) -> list[str]:
    return [readable(path.relative_to(folder).as_posix()) for path in files]


def readable(name: str) -> str:
    r"""Return a file's name as text that can be written: on Unix it may be bytes in no encoding.

    Examples
    --------
    >>> readable("caf\udce9.png") == "caf\ufffd.png"
    True
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _labels(files: list[Path], root: Path, notes: list[Note]) -> np.ndarray:
    """Name each file's class; files that lie in no class folder are taken out of the list, with a note."""
    loose = [path for path in files if path.parent == root]
    if len(loose) == len(files):
        raise DataError(
            f"class folders of images in {str(root)!r}",
            "images beside one another",
            "make one folder for each class",
        )
    if loose:
        notes.append(Note("images in no class folder", f"left alone: {loose[0].name} first", len(loose)))
        files[:] = [path for path in files if path.parent != root]
    empty = {sub.name for sub in root.iterdir() if sub.is_dir() and not sub.name.startswith((".", "__"))}
    empty -= {path.relative_to(root).parts[0] for path in files}
    if empty:
        notes.append(Note("folders without an image", f"left alone: {', '.join(sorted(empty)[:5])}", len(empty)))
    return np.array([readable(path.relative_to(root).parts[0]) for path in files])


def _drop_lonely(
    files: list[Path], labels: np.ndarray, folder: Path, notes: list[Note]
) -> tuple[list[Path], np.ndarray]:
    lonely, note = clean_labels(labels, "class", str(folder))
    if note is None:
        return files, labels
    notes.append(note)
    return [path for path, drop in zip(files, lonely, strict=True) if not drop], labels[~lonely]


def _report_duplicates(images: np.ndarray, notes: list[Note]) -> None:
    repeated = len(images) - len(np.unique(row_hashes(images)))
    if repeated:
        why = "kept: their pixels equal those of an earlier one; a split keeps equal images on one side"
        notes.append(Note("duplicate images", why, repeated))


def _with_test_part(data: Dataset, test: Path, train: np.ndarray) -> Dataset:
    from dataclasses import replace

    files, _ = find_images(test)
    files = [path for path in files if path.parent != test]
    if not files:
        raise DataError(f"class folders of images in {str(test)!r}", "none", "fill or remove that folder")
    labels = np.array([path.relative_to(test).parts[0] for path in files])
    unknown = sorted(set(labels.tolist()) - set(np.asarray(data.y).tolist()))
    if unknown:
        raise DataError(f"the same classes in {test.name} as in training", repr(unknown[0]), "remove that folder")
    size, channels = (int(train.shape[1]), int(train.shape[2])), int(train.shape[3])
    images, kept, notes = load_images(files, _names(files, test.parent), image_size=size, channels=channels)
    note = Note("test part", f"taken from the folder {test.name!r}", len(kept))
    return replace(data, test=(images, labels[kept]), notes=(*data.notes, note, *notes))
