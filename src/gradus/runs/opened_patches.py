"""Large pictures, opened: cut into patches whose factors are learned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gradus.applications.base import Candidate
from gradus.core.errors import DataError, SettingError, nearest
from gradus.core.options import parse_setting, settings_of
from gradus.core.randomness import derive
from gradus.data.dataset import Note
from gradus.data.pictures import Pictures
from gradus.data.splitting import Split, split
from gradus.estimators.exhibit import Exhibit, Picture
from gradus.practice.ladder import Ladder, Rung
from gradus.practice.patches import PatchContest, PatchPart, patch_rungs, patch_title
from gradus.research.linear_factors.patches import PatchFactors, cut_patches
from gradus.runs.opened import Opened
from gradus.runs.record import DataRecord, SplitRecord

if TYPE_CHECKING:
    from gradus.runs.job import Job

__all__ = ["LARGE", "OpenedPatches", "least_side", "open_patches"]

LARGE = 64  # pixels of the shorter side from which on a picture is cut up
LEAST = 5  # pictures
JUDGED = 4000  # patches of the validation and of the test part
SHOWN = 12


def least_side(settings: Mapping[str, str]) -> int:
    """Return the shorter side from which on pictures are cut up: smaller where a size of patches is asked for."""
    asked = settings.get("patch_size")
    return LARGE if asked is None else 2 * int(parse_setting(PatchFactors, "patch_size", asked))


@dataclass(frozen=True, kw_only=True)
class OpenedPatches(Opened):
    """Pictures whose patches are learned from.

    Attributes
    ----------
    found : Pictures
        As they were read.
    parts : Split
        Which pictures are for training, validation and test.
    model : PatchFactors
        The top of the ladder, unfitted.
    seed : int
        Of the patches that judge.
    """

    found: Pictures
    parts: Split
    model: PatchFactors
    seed: int

    @property
    def name(self) -> str:
        """What the data are called."""
        return self.found.name

    @property
    def task(self) -> str:
        """What is to be learned."""
        return "factors"

    @property
    def why(self) -> str:
        """Why this task."""
        return f"the factors behind patches of {self.model.patch_size} x {self.model.patch_size} pixels, as asked"

    @property
    def how(self) -> str:
        """How the parts were divided."""
        train, valid, test = (len(part) for part in (self.parts.train, self.parts.valid, self.parts.test))
        return f"whole pictures at random: {train} for training, {valid} for validation, {test} for the test"

    @property
    def notes(self) -> list[Note]:
        """What was dropped, changed or guessed."""
        colours = any(picture.ndim == 3 and picture.shape[2] == 3 for picture in self.found.pictures)
        parted = "learned from patches, no picture in two parts"
        if colours:
            parted += "; colours are averaged"
        brightness = "taken by its logarithm and evened in contrast; whitened along the principal directions"
        return [*self.found.notes, Note("pictures", parted), Note("brightness", brightness)]

    def describe(self) -> str:
        """Return the size of the data in words."""
        sizes = np.array([picture.shape[:2] for picture in self.found.pictures])
        (low, wide), (high, most) = sizes.min(0), sizes.max(0)
        shape = f"{low} x {wide}" + (f" to {high} x {most}" if (low, wide) != (high, most) else "")
        return f"{self.name!r}, {len(self.found):,} pictures of {shape} pixels"

    def network(self, settings: Mapping[str, str], seed: int) -> Candidate:
        """Return the top of the ladder."""
        return Candidate(patch_title(self.model), self.model, "more atoms than directions, of which a patch uses few")

    def rungs(self, seed: int) -> list[Rung]:
        """Return the rungs below the top."""
        return patch_rungs(self.model)

    def _pictures(self, part: str) -> list[np.ndarray]:
        return [self.found.pictures[k] for k in getattr(self.parts, part)]

    def _cut(self, part: str) -> PatchPart:
        drawing = np.random.default_rng(derive(self.seed, f"patches {part}"))
        return PatchPart(*cut_patches(self._pictures(part), self.model.patch_size, JUDGED, drawing))

    @cached_property
    def _contest(self) -> PatchContest:
        return PatchContest(self._pictures("train"), self._cut("valid"), self._cut("test"), self.model.active)

    def contest(self) -> PatchContest:
        """Return how rungs are fitted and judged."""
        return self._contest

    def exhibits(self, ladder: Ladder) -> Iterator[Exhibit]:
        """Yield pictures of each part, and the filters and codes of the chosen rung."""
        shown = [(k, part) for part in ("train", "valid", "test") for k in getattr(self.parts, part)[:SHOWN]]
        names = {"train": "training", "valid": "validation", "test": "test"}
        pictures = tuple(
            Picture.of(_thumbnail(self.found.pictures[k]), f"{self.found.names[k]}, {names[part]}", 255)
            for k, part in shown[: 2 * SHOWN]
        )
        yield Exhibit("Pictures", "What patches were cut from, made small.", "data", pictures=pictures)
        yield from ladder.fitted[ladder.chosen].exhibits(self._contest.cut["test"].patches)

    def record(self) -> DataRecord:
        """Return what a run keeps of its data."""
        counts = [len(part) for part in (self.parts.train, self.parts.valid, self.parts.test)]
        return DataRecord(
            name=self.name, kind="pictures", rows=len(self.found), counted="pictures",
            shape=[self.model.patch_size, self.model.patch_size], origin=self.found.origin,
            fingerprint=self.fingerprint, notes=[str(note) for note in self.notes],
            split=SplitRecord(train=counts[0], valid=counts[1], test=counts[2], how=self.how),
        )  # fmt: skip


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    step = max(1, max(picture.shape[:2]) // 96)
    return picture[::step, ::step]


def open_patches(job: Job, found: Pictures, settings: Mapping[str, str]) -> OpenedPatches:
    """Divide pictures, and settle what is to be learned of their patches.

    Raises
    ------
    DataError
        If there are too few, or one is smaller than a patch.
    SettingError
        If a setting is unknown or wrong.
    """
    for name, value in (("group", job.group), ("time", job.time), ("target", job.target)):
        if value is not None:
            raise SettingError(f"no {name} for pictures that are cut into patches", repr(value), f"leave --{name} out")
    known = settings_of(PatchFactors)
    values: dict[str, Any] = {"random_state": job.seed}
    for name, text in settings.items():
        if name not in known:
            mend = f"{nearest(name, known)}see `gradus config PatchFactors`"
            raise SettingError("a setting of PatchFactors", repr(name), mend)
        values[name] = parse_setting(PatchFactors, name, text)
    model = PatchFactors(**{**values, "random_state": job.seed})
    model.check_settings()
    if len(found) < LEAST:
        raise DataError(f"{LEAST} pictures or more", f"{len(found)} in {found.name}", "add pictures")
    small = next((k for k, p in enumerate(found.pictures) if min(p.shape[:2]) < model.patch_size), None)
    if small is not None:
        shape = " x ".join(map(str, found.pictures[small].shape[:2]))
        mend = "set a smaller patch_size, or leave it out of the data"
        raise DataError(f"pictures of {model.patch_size} pixels or more", f"{found.names[small]} of {shape}", mend)
    prints = [hashlib.sha256(repr(p.shape).encode() + np.ascontiguousarray(p).tobytes()).hexdigest()
              for p in found.pictures]  # fmt: skip
    test, valid = (0.2 if f is None else f for f in (job.test_fraction, job.valid_fraction))
    numbers = np.arange(len(found), dtype=np.float64)[:, None]
    parts = split(numbers, test=test, valid=valid, stratify=False, groups=np.array(prints), seed=job.seed)
    if not all(len(part) for part in (parts.train, parts.valid, parts.test)):
        raise DataError("different pictures for training, validation and test", f"{len(set(prints))}", "add pictures")
    whole = hashlib.sha256("".join(prints).encode()).hexdigest()
    return OpenedPatches(
        found=found, parts=parts, model=model, seed=job.seed, fingerprint=whole,
    )  # fmt: skip
