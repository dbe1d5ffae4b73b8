"""One pass over a folder of images larger than memory: each image's side of the split, a sample, the damaged ones.

Every file is decoded once, as training will decode it, so that a damaged one is found here and not in the third hour of
training. A side is a function of the seed and of the pixels, so copies of an image lie on one side, also copies in
another format.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradus.core.errors import DataError, InputError, SettingError
from gradus.data.batches import Batches
from gradus.data.dataset import Dataset, Note, brief
from gradus.data.gathering import Sampler
from gradus.data.images import (
    check_damaged,
    common_size,
    decode_each,
    image_sizes,
    is_grey,
    list_images,
    parts_of,
    readable,
    with_channels,
)
from gradus.data.memory import Shares, shares_of
from gradus.data.rowkeys import bytes_key, key_of_numbers, uniform
from gradus.data.splitting import SIDES, TEST, TRAIN, VALID, Split
from gradus.data.streaming import ImageFolderBatches

__all__ = ["ImageFolder", "ImageSurvey", "survey_images"]

# Headers that are read to guess the size of all images; half of them differ from the median as little as of more.
SIZED = 2000
# Images decoded at once.
BLOCK = 256


class ImageFolder:
    """A folder of class folders of images, listed but not read.

    Parameters
    ----------
    folder : Path
        Holds one folder a class, or ``train`` and ``test`` folders of those.

    Attributes
    ----------
    files : list of str
        The images to learn from, named from ``root`` on: a million path objects would take gigabytes.
    published : list of str
        Those of the publisher's own test part, if there is one, named from ``test`` on.
    root, test : Path
        Where they lie.
    image_size : (height, width)
        What all are scaled to: the median size of two thousand of them, at most 128 a side.
    n_bytes : int
        Bytes of all images in memory, in colour.

    Raises
    ------
    DataError
        If there is no image in a class folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, self.test = parts_of(folder)
        found, self.others = list_images(self.root)
        self.files = [name for name in found if "/" in name]
        self.loose = len(found) - len(self.files)
        self.published = [] if self.test is None else [name for name in list_images(self.test)[0] if "/" in name]
        sizes = image_sizes([self.root / name for name in self.files[:: max(1, len(self.files) // SIZED)]])
        self.image_size = common_size(sizes) if sizes else (1, 1)
        self.resized = len(set(sizes)) > 1 or set(sizes) != {self.image_size}

    @property
    def row_bytes(self) -> float:
        """Bytes of one image in memory, in colour."""
        return 3.0 * self.image_size[0] * self.image_size[1]

    @property
    def n_bytes(self) -> int:
        """Bytes of all images in memory, in colour."""
        return int((len(self.files) + len(self.published)) * self.row_bytes)

    @property
    def n_rows(self) -> int:
        """Images to learn from."""
        return len(self.files)

    @staticmethod
    def class_of(name: str) -> str:
        """Return the name of the class folder an image lies in."""
        return readable(name.partition("/")[0])

    def called(self, name: str, root: Path | None = None) -> str:
        """Return what to call an image: its name from the folder on."""
        return readable(((self.root if root is None else root) / name).relative_to(self.folder).as_posix())


@dataclass(frozen=True, kw_only=True)
class ImageSurvey:
    """What one pass over a folder of images found; fields as in `gradus.data.survey.TableSurvey`."""

    data: Dataset
    split: Split
    rows: int
    train_rows: int
    task: str
    why: str
    classes: dict[Any, int]
    fingerprint: str
    source: ImageFolder
    train: list[str]
    channels: int

    def batches(self, *, batch_size: int, seed: int) -> Batches:
        """Return the training images as batches, ``targets`` the number of the class among the sorted names."""
        number = {name: i for i, name in enumerate(sorted(self.classes))}
        labels = np.fromiter((number[self.source.class_of(p)] for p in self.train), np.int64, len(self.train))
        files = [f"{self.source.root}{os.sep}{name}" for name in self.train]
        shape: dict[str, Any] = {"image_size": self.source.image_size, "channels": self.channels}
        return ImageFolderBatches(files, labels, **shape, batch_size=batch_size, seed=seed)


def survey_images(
    source: ImageFolder, *, memory: float, test: float = 0.2, valid: float = 0.2, seed: int = 0
) -> ImageSurvey:
    """Decode every image of a folder once, to split them and to hold a sample.

    Parameters
    ----------
    source : ImageFolder
        The folder.
    memory : float
        Bytes of data to hold at once.
    test, valid : float
        Shares of all images, each in (0, 1), together below 1; no more are held out than are held in memory. With a
        published test part no further test images are taken.
    seed : int
        The same seed gives the same split.

    Raises
    ------
    DataError
        If there are fewer than two classes, or more than 5 % of the images are damaged.
    """
    if test + valid >= 1 - 1e-9:
        raise SettingError("test and valid to leave rows to train on", f"{test} + {valid}", "set smaller shares")
    if source.published:
        test = 0.0
    shares = shares_of(memory, source.row_bytes)
    most = shares.held / max(len(source.files), 1)
    found = _Pass(source, shares, np.array([0, min(valid, most), min(test, most)]), seed).run()
    return found.finish()


class _Pass:
    def __init__(self, source: ImageFolder, shares: Shares, held: NDArray[np.float64], seed: int) -> None:
        self.source, self.shares, self.held, self.seed = source, shares, held, seed
        self.classes = sorted({source.class_of(name) for name in source.files})
        self.number = {name: i for i, name in enumerate(self.classes)}
        self.codes = np.fromiter((self.number[source.class_of(p)] for p in source.files), np.int64, len(source.files))
        self.sides = np.full(len(source.files), -1, dtype=np.int8)  # of the damaged ones it stays
        self.samplers = [Sampler(n, _picked, np.concatenate) for n in (shares.sample, shares.held, shares.held)]
        self.few: dict[int, list[tuple[int, NDArray[np.uint8]]]] = {}
        self.grey = True
        self.damaged: list[str] = []
        self.digest = hashlib.sha256(repr(source.image_size).encode())

    def run(self) -> _Pass:
        for first, images in _blocks(self.source.root, self.source.files, self.source.image_size):
            places = [first + i for i, image in enumerate(images) if image is not None]
            self.damaged += [
                self.source.called(self.source.files[first + i]) for i, image in enumerate(images) if image is None
            ]
            if places:
                self._take([image for image in images if image is not None], np.array(places))
        check_damaged(self.damaged, len(self.source.files), [])
        return self

    def _take(self, images: list[NDArray[np.uint8]], places: NDArray[np.int64]) -> None:
        keys = np.empty(len(images), dtype=np.uint64)
        for i, (image, place) in enumerate(zip(images, places, strict=True)):
            grey = is_grey(image)
            self.grey &= grey
            keys[i] = bytes_key(np.ascontiguousarray(image[:, :, :1] if grey else image).data)
            self.digest.update(f"{self.source.called(self.source.files[place])}\0{keys[i]};".encode())
        draws = uniform(keys, self.seed, "split")
        _, valid, test = self.held
        sides = np.where(draws < test, TEST, np.where(draws < test + valid, VALID, TRAIN))
        self.sides[places] = sides
        draws = uniform(key_of_numbers(places), self.seed, "sample")
        stack = np.stack([np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image for image in images])
        for side, sampler in enumerate(self.samplers):
            mask = sides == side
            sampler.add(stack[mask], draws[mask], places[mask])
        for at in np.flatnonzero(sides == TRAIN).tolist():
            known = self.few.setdefault(int(self.codes[places[at]]), [])
            if len(known) < 2:
                known.append((int(places[at]), stack[at].copy()))

    # -- what it amounts to --------------------------------------------------------------------------------------

    def finish(self) -> ImageSurvey:
        source, notes = self.source, self._notes()
        counts = np.zeros((len(self.classes), 3), dtype=np.int64)
        np.add.at(counts, (self.codes[self.sides >= 0], self.sides[self.sides >= 0]), 1)
        learned = self._learned(counts, notes)
        known = np.isin(self.codes, learned)
        parts = [self._held(side, known) for side in range(3)]
        for side, (images, _) in enumerate(parts):
            if not len(images) and (side == TRAIN or self.held[side] > 0):
                received = f"{len(source.files)} images"
                raise InputError(f"enough to fill the {SIDES[side]} side", received, "add some, or set larger shares")
        channels = 1 if self.grey else 3
        X = np.concatenate([images for images, _ in parts])[..., :channels]
        places = np.concatenate([rows for _, rows in parts])
        published = self._published(learned, channels, notes)
        data = Dataset(
            name=source.folder.name, kind="images", X=np.ascontiguousarray(X), target="class", test=published,
            y=np.array([self.classes[code] for code in self.codes[places]]), notes=tuple(notes),
            row_names=[source.called(source.files[place]) for place in places], origin=str(source.folder), scale=255.0,
        )  # fmt: skip
        held = np.array([len(rows) for _, rows in parts])
        of_side = counts[learned].sum(0)
        ends = np.cumsum(held)
        rows = [np.arange(end - n, end, dtype=np.int64) for n, end in zip(held, ends, strict=True)]
        train = [source.files[place] for place in np.flatnonzero((self.sides == TRAIN) & known)]
        return ImageSurvey(
            data=data, split=Split(rows[TRAIN], rows[VALID], rows[TEST], self._told(of_side, published)),
            rows=int(of_side.sum()), train_rows=len(train), task="classification", why="images with a label each",
            classes={self.classes[code]: int(counts[code, TRAIN]) for code in learned},
            fingerprint=self.digest.hexdigest(), source=source, train=train, channels=channels,
        )  # fmt: skip

    def _told(self, counts: NDArray[np.int64], published: tuple[Any, Any] | None) -> str:
        told = f"by a hash of each image, seed {self.seed}: {counts[TRAIN]:,} rows for training, "
        told += f"{counts[VALID]:,} for validation"
        if published is not None:
            return f"the publisher's own test part of {len(published[1]):,} rows; the rest: {told}"
        return f"{told}, {counts[TEST]:,} for test"

    def _notes(self) -> list[Note]:
        source, notes = self.source, []
        if source.others:
            notes.append(Note("files that are no images", "left alone", source.others))
        if source.loose:
            notes.append(Note("images in no class folder", "left alone", source.loose))
        if source.resized:
            height, width = source.image_size
            notes.append(Note("image sizes", f"scaled to {height}x{width} pixels, proportions not kept"))
        check_damaged(self.damaged, len(source.files), notes)
        return notes

    def _learned(self, counts: NDArray[np.int64], notes: list[Note]) -> NDArray[np.int64]:
        """Return the numbers of the classes that have training images, and more than one image."""
        total = counts.sum(1)
        learned = np.flatnonzero((total > 1) & (counts[:, TRAIN] > 0))
        if len(learned) < 2:
            shown = brief([self.classes[code] for code in np.flatnonzero(total)])
            received = f"only {shown} in {self.source.folder}"
            raise DataError("two classes of two images or more", received, "add images or class folders")
        left = [self.classes[code] for code in np.setdiff1d(np.arange(len(self.classes)), learned)]
        if left:
            why = f"dropped: too few images to learn from one and test on another ({brief(left)})"
            notes.append(Note("classes", why, len(left)))
        return learned

    def _held(self, side: int, known: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        images, places = self.samplers[side].taken()
        if images is None:
            images = np.empty((0, *self.source.image_size, 3), dtype=np.uint8)
        if side == TRAIN:
            absent = set(self.few) - set(self.codes[places].tolist())
            extra = [found for code in sorted(absent) for found in self.few[code]]
            if extra:
                images = np.concatenate([images, np.stack([image for _, image in extra])])
                places = np.concatenate([places, np.array([place for place, _ in extra])])
        return images[known[places]], places[known[places]]

    def _published(self, learned: NDArray[np.int64], channels: int, notes: list[Note]) -> tuple[Any, Any] | None:
        """Return the publisher's test part, or a sample of it that fits."""
        source = self.source
        if source.test is None:
            return None
        files = source.published
        if not files:
            raise DataError(f"class folders of images in {str(source.test)!r}", "none", "fill or remove that folder")
        labels = np.array([source.class_of(name) for name in files])
        unknown = sorted(set(labels.tolist()) - {self.classes[code] for code in learned})
        if unknown:
            raise DataError(
                f"the same classes in {source.test.name} as in training", repr(unknown[0]), "remove that folder"
            )
        draws = uniform(key_of_numbers(np.arange(len(files))), self.seed, "sample")
        rows = np.sort(np.argsort(draws)[: self.shares.held])
        images, kept, damaged = [], [], []
        for first, block in _blocks(source.test, [files[row] for row in rows], source.image_size):
            for place, image in zip(rows[first : first + len(block)].tolist(), block, strict=True):
                if image is None:
                    damaged.append(source.called(files[place], source.test))
                else:
                    images.append(with_channels(image, channels))
                    kept.append(place)
        check_damaged(damaged, len(rows), notes)
        sampled = f", a sample of {len(files):,}" if len(rows) < len(files) else ""
        notes.append(Note("test part", f"taken from the folder {source.test.name!r}{sampled}", len(kept)))
        return np.stack(images), labels[kept]


def _picked(images: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return images[mask]


def _blocks(
    root: Path, files: Sequence[str], size: tuple[int, int]
) -> Iterator[tuple[int, list[NDArray[np.uint8] | None]]]:
    """Yield the place of the first and the images of each block, None for a damaged one."""
    for first in range(0, len(files), BLOCK):
        yield first, decode_each([root / name for name in files[first : first + BLOCK]], size)
