"""Rows without a target, opened: tables and images whose density, factors, groups or codes are learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gradus.applications.base import Candidate
from gradus.core.errors import DataError, SettingError, nearest
from gradus.core.options import parse_setting, settings_of
from gradus.core.randomness import derive
from gradus.data.columns import infer_columns
from gradus.data.dataset import Dataset, Note
from gradus.data.fingerprint import fingerprint
from gradus.data.frames import as_number
from gradus.data.reading import read
from gradus.data.splitting import Split, split
from gradus.estimators.exhibit import Exhibit, Picture
from gradus.practice.alone import ALONE, AloneTask, contest_for, drawn, rebuilt, rungs_for, top_for
from gradus.practice.ladder import Ladder, Rung
from gradus.research.generative.evaluation import dequantize
from gradus.runs.opened import Opened
from gradus.runs.record import DataRecord, SplitRecord

if TYPE_CHECKING:
    from gradus.runs.job import Job

__all__ = ["OpenedAlone", "matrix_of", "open_alone"]

COMPONENTS = 8
WHY = {
    "density": "how likely each row is",
    "factors": "the factors behind the columns",
    "cluster": "groups of rows",
    "compress": "short codes of rows",
    "generate": "new rows like these",
}
LEAST = 60


@dataclass(frozen=True, kw_only=True)
class OpenedAlone(Opened):
    """Rows without a target.

    Attributes
    ----------
    data : Dataset
        As it was read.
    columns : list of str
        Columns of a table that are learned from; empty for images.
    rows : ndarray of shape (rows, columns)
        Numbers, with gaps where values are missing.
    parts : Split
        Training, validation and test rows.
    asked : str
        The task.
    components : int
        Numbers in a code.
    left_out : list of Note
        What of the data is not learned from.
    """

    data: Dataset
    columns: list[str]
    rows: np.ndarray
    parts: Split
    asked: AloneTask
    components: int
    left_out: list[Note] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the data are called."""
        return self.data.name

    @property
    def task(self) -> str:
        """What is to be learned."""
        return self.asked

    @property
    def why(self) -> str:
        """Why this task."""
        return f"{WHY[self.asked]}, as asked"

    @property
    def how(self) -> str:
        """How the parts were divided."""
        return self.parts.how

    @property
    def notes(self) -> list[Note]:
        """What was dropped, changed or guessed."""
        return [*self.data.notes, *self.parts.notes, *self.left_out]

    def describe(self) -> str:
        """Return the size of the data in words."""
        gaps = int(np.isnan(self.rows).any(1).sum())
        missing = f", {gaps:,} rows with gaps" if gaps else ""
        return f"{self.name!r}, {len(self.rows):,} rows of {self.rows.shape[1]:,} numbers{missing}"

    @property
    def gaps(self) -> bool:
        """Whether values are missing."""
        return bool(np.isnan(self.rows).any())

    def _part(self, name: str) -> np.ndarray:
        return self.rows[getattr(self.parts, name)]

    def network(self, settings: Mapping[str, str], seed: int) -> Candidate:
        """Return the top of the ladder, with the texts of ``--set name=value``."""
        name, cls, why, given = top_for(self.asked, self._part("train"), gaps=self.gaps)
        known = settings_of(cls)
        values = dict(given)
        if "n_components" in known and self.asked != "cluster":
            values["n_components"] = self.components
        for setting, text in settings.items():
            if setting not in known:
                mend = f"{nearest(setting, known)}see `gradus config {cls.__name__}`"
                raise SettingError(f"a setting of {cls.__name__}", repr(setting), mend)
            values[setting] = parse_setting(cls, setting, text)
        if "random_state" in known:
            values["random_state"] = seed
        estimator = cls(**values)
        estimator.check_settings()
        if self.asked == "cluster":
            name = f"mixture of {estimator.n_components} groups"
        return Candidate(name, estimator, why)

    def rungs(self, seed: int) -> list[Rung]:
        """Return the rungs below the top."""
        return rungs_for(
            self.asked, self._part("train"), self.components, seed, gaps=self.gaps, pixels=self.data.kind == "images"
        )

    @cached_property
    def _contest(self) -> Any:
        train, valid, test = (self._part(name) for name in ("train", "valid", "test"))
        picture = self._picture if self.data.kind == "images" else ()
        seed = derive(0, "samples") % 2**32
        return contest_for(self.asked, train, valid, test, seed, picture)

    def contest(self) -> Any:
        """Return how rungs are fitted and judged."""
        return self._contest

    def exhibits(self, ladder: Ladder) -> Iterator[Exhibit]:
        """Yield what the chosen rung has to show, and for images samples and rows before and after coding."""
        fitted, test = ladder.fitted[ladder.chosen], self._part("test")
        if self.data.kind == "images":
            yield from self._pictures(fitted, test[:10])
        last = fitted.steps[-1][1] if hasattr(fitted, "steps") else fitted
        if hasattr(last, "exhibits"):
            rows = test if last is fitted else fitted[:-1].transform(test)
            pictures = len(getattr(last, "row_shape_", ())) > 1
            yield from last.exhibits(rows.reshape(len(rows), *self._picture) if pictures else rows)

    @property
    def _picture(self) -> tuple[int, ...]:
        shape = self.data.X.shape[1:]
        return shape[:2] if shape[-1] == 1 else shape

    def _pictures(self, fitted: Any, rows: np.ndarray) -> Iterator[Exhibit]:
        if hasattr(fitted, "inverse_transform") and self.asked in ("compress", "density", "factors"):
            try:
                after = rebuilt(fitted, rows)
            except (AttributeError, NotImplementedError):
                after = None
            if after is not None:
                pairs = [(rows, "given"), (after, "rebuilt")]
                shown = tuple(
                    Picture.of(side[k].reshape(self._picture), f"{word} {k + 1}", 1) for side, word in pairs
                    for k in range(len(rows))
                )  # fmt: skip
                yield Exhibit(
                    "Before and after", "Unseen rows above, and what their codes keep of them.", pictures=shown
                )
        try:
            samples = drawn(fitted, 20, 0)
        except (AttributeError, NotImplementedError):
            return
        pictures = tuple(Picture.of(s.reshape(self._picture), f"sample {k + 1}", 1) for k, s in enumerate(samples))
        yield Exhibit("Samples", "Drawn from the model, not chosen.", pictures=pictures)

    def record(self) -> DataRecord:
        """Return what a run keeps of its data."""
        images = self.data.kind == "images"
        return DataRecord(
            name=self.name, kind=self.data.kind, rows=len(self.rows), columns=None if images else len(self.columns),
            names=self.columns,
            shape=list(self.data.X.shape[1:]) if images else None, origin=self.data.origin,
            fingerprint=self.fingerprint, notes=[str(note) for note in self.notes],
            split=SplitRecord(
                train=len(self.parts.train), valid=len(self.parts.valid), test=len(self.parts.test), how=self.parts.how,
            ),
        )  # fmt: skip

    def uses(self, run: str, source: str) -> list[str]:
        """Return commands that use the model."""
        predicts = [f"gradus predict {run} {source}"]
        return predicts if self.asked == "compress" else [f"gradus sample {run} -n 10", *predicts]


def matrix_of(data: Dataset, task: str, columns: list[str] | None = None) -> tuple[np.ndarray, list[str], list[Note]]:
    """Return rows as numbers: the numeric columns of a table, or pixels between 0 and 1.

    Pixels whose density is learned get noise of one step of brightness (drawn from a fixed seed): their values are
    steps, and a density on steps is infinite.
    """
    if data.kind == "images":
        pixels = np.asarray(data.X, dtype=np.float64)
        levels = int(data.scale) + 1
        flat = pixels.reshape(len(pixels), -1)
        if task not in ("density", "factors"):
            return flat / data.scale, [], []
        why = f"noise of one step of {levels} was added to each pixel; nats are those of brightness from 0 to 1"
        return dequantize(flat, levels=levels, random_state=0), [], [Note("pixels", why)]
    if data.kind != "table":
        raise DataError("a table of numbers, or images", data.kind, f"leave out --task {task}")
    table: Any = data.X
    notes: list[Note] = []
    if columns is None:
        kinds = {c.name: c.kind for c in infer_columns(table)}
        columns = [name for name in table.columns if kinds.get(name) in ("number", "boolean")]
        others = [str(name) for name in table.columns if name not in columns]
        if others:
            notes.append(Note(f"columns {', '.join(others[:6])}", "hold no numbers and are left out"))
    rows = np.column_stack([as_number(table[name]) for name in columns]) if columns else np.zeros((len(table), 0))
    rows = rows.astype(np.float64)
    rows[~np.isfinite(rows)] = np.nan
    return rows, [str(name) for name in columns], notes


def open_alone(job: Job, settings: Mapping[str, str]) -> OpenedAlone:
    """Read and divide rows whose own structure is learned.

    Raises
    ------
    DataError
        If they hold too few rows, or no numbers that vary.
    """
    task: Any = job.task
    if task not in ALONE:
        raise SettingError(f"one of {', '.join(ALONE)}", repr(task), "choose one")
    data = read(job.source, target=job.target, group=job.group, time=job.time, require_target=False)
    rows, columns, notes = matrix_of(data, task)
    with np.errstate(invalid="ignore"):
        moving = np.array([np.isfinite(c).any() and np.nanstd(c) > 0 for c in rows.T], dtype=bool)
    if data.kind == "table" and not moving.all() and moving.any():
        still = [name for name, moves in zip(columns, moving, strict=True) if not moves]
        notes.append(Note(f"columns {', '.join(still[:6])}", "do not vary and are left out"))
        rows, columns = rows[:, moving], [name for name, moves in zip(columns, moving, strict=True) if moves]
    if not moving.any():
        raise DataError(f"columns of numbers that vary in {data.name}", "none", "pass another table")
    empty = np.isnan(rows).all(1)
    if empty.any():
        notes.append(Note("rows without any number", "are left out", int(empty.sum())))
        rows, data = rows[~empty], data.take(np.flatnonzero(~empty))
    if len(rows) < LEAST:
        raise DataError(f"{LEAST} rows or more", f"{len(rows)} in {data.name}", "add rows")
    if data.target is not None:
        notes.append(Note(f"target {data.target!r}", "is not learned from"))
    test, valid = (0.2 if f is None else f for f in (job.test_fraction, job.valid_fraction))
    parts = split(rows, test=test, valid=valid, stratify=False, groups=data.groups, time=data.time, seed=job.seed)
    text = settings.get("n_components")
    components = int(text) if text is not None and text.strip().isdecimal() and int(text) > 0 else COMPONENTS
    return OpenedAlone(
        data=data, columns=columns, rows=rows, parts=parts, asked=task, left_out=notes,
        components=min(components, rows.shape[1] - 1 or 1), fingerprint=fingerprint("rows", None, rows, None),
    )  # fmt: skip
