"""Rows without a target, opened: tables and images whose density, factors, groups or codes are learned."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradus.applications.base import Candidate
from gradus.core.errors import DataError, InputError, SettingError, nearest
from gradus.core.options import parse_setting, settings_of
from gradus.core.randomness import derive
from gradus.data.columns import infer_columns
from gradus.data.dataset import Dataset, Note
from gradus.data.fingerprint import fingerprint
from gradus.data.frames import as_number
from gradus.data.pictures import read_pictures
from gradus.data.reading import read
from gradus.data.splitting import Split, split
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.unsupervised import RowsEstimator
from gradus.practice.alone import ALONE, AloneTask, contest_for, drawn, rebuilt, rungs_for, top_for
from gradus.practice.ladder import Ladder, Rung
from gradus.practice.rounding import bounds_of, levelled, snapped, spread_out, steps_of
from gradus.research.autoregressive.flows import FlowEstimator
from gradus.research.generative.evaluation import dequantize
from gradus.research.generative.exhibits import reconstructions, samples
from gradus.research.generative.latent_page import latent_page
from gradus.research.inference.mixtures import GaussianMixture
from gradus.runs.opened import Opened
from gradus.runs.opened_corpus import is_corpus
from gradus.runs.opened_patches import LARGE, least_side, open_patches
from gradus.runs.record import DataRecord, SplitRecord

if TYPE_CHECKING:
    from gradus.runs.job import Job

__all__ = ["OpenedAlone", "as_data", "matrix_of", "open_alone"]

COMPONENTS = 8
WHY = {
    "density": "how likely each row is",
    "factors": "the factors behind the columns",
    "cluster": "groups of rows",
    "compress": "short codes of rows",
    "generate": "new rows like these",
}
LEAST = 60
LATENT = "latent.html"
MOST_COLOURS = 20
JUDGED = ("density", "factors", "cluster")  # by a density: pixels and rounded columns get noise of one step
TINY, HUGE = 1e-100, 1e100  # beyond these, squares leave what a float64 can hold
WITHOUT = {
    "density": "mixtures, flows and autoencoders",
    "generate": "mixtures, flows and autoencoders",
    "factors": "independent components",
    "compress": "autoencoders",
}


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
    steps : dict of str to float
        Of columns whose values were rounded: where a density is learned, noise of one step was added to them, and
        samples are rounded again.
    bounds : dict of str to (float, float)
        Their least and greatest value, which samples do not leave.
    """

    data: Dataset
    columns: list[str]
    rows: np.ndarray
    parts: Split
    asked: AloneTask
    components: int
    left_out: list[Note] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)

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

    def few(self, n: int) -> np.ndarray:
        """Return the first validation rows, as a network gets them."""
        rows = self._part("valid")[:n]
        return rows.reshape(len(rows), *self._picture) if self.data.kind == "images" else rows

    def network(self, settings: Mapping[str, str], seed: int) -> Candidate:
        """Return the top of the ladder, with the texts of ``--set name=value``."""
        name, cls, why, given = top_for(
            self.asked, self._part("train"), gaps=self.gaps, pixels=self.data.kind == "images"
        )
        known = settings_of(cls)
        values = dict(given)
        clouds = issubclass(cls, GaussianMixture)
        if "n_components" in known and not clouds:
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
        if clouds:
            name = f"mixture of {estimator.n_components} {'groups' if self.asked == 'cluster' else 'Gaussians'}"
        return Candidate(name, estimator, why)

    def rungs(self, seed: int) -> list[Rung]:
        """Return the rungs below the top."""
        return rungs_for(
            self.asked, self._part("train"), self.components, seed, gaps=self.gaps, pixels=self.data.kind == "images"
        )

    @cached_property
    def _contest(self) -> Any:
        train, valid, test = (self._part(name) for name in ("train", "valid", "test"))
        images = self.data.kind == "images"
        seed = derive(0, "samples") % 2**32
        picture, levels = (
            self._picture if images else (),
            levels_of(self.data) if images and self.asked in JUDGED else 0,
        )
        return contest_for(self.asked)(train, valid, test, seed, picture, levels, self._given_out)

    def contest(self) -> Any:
        """Return how rungs are fitted and judged."""
        return self._contest

    def exhibits(self, ladder: Ladder) -> Iterator[Exhibit]:
        """Yield what the chosen rung has to show, and for images samples and rows before and after coding."""
        fitted = ladder.fitted[ladder.chosen]
        own = list(self._of_model(fitted))
        if self.data.kind == "images":
            own = [exhibit for exhibit in own if exhibit.title != "Samples"]  # not in the data's levels, as those below
            titles = {exhibit.title for exhibit in own}
            shown = self._pictures(fitted, self._part("test")[:10])
            yield from (exhibit for exhibit in shown if exhibit.title not in titles)
        yield from own
        if self.data.kind == "images" and self.asked == "generate":
            yield from self._of_others(ladder)

    def _of_others(self, ladder: Ladder) -> Iterator[Exhibit]:
        """Yield samples of the networks that were not chosen: what is near in pixels is not what an eye finds alike."""
        for row in ladder.rows:
            if row.kind != "network" or row.name not in ladder.fitted or row.name == ladder.chosen:
                continue
            rows = self._given_out(drawn(ladder.fitted[row.name], 20, 0)).reshape(-1, *self._picture)
            caption = "Not chosen, for the eye to compare: what decides is nearness in pixels."
            yield replace(samples(rows, []), title=f"Samples of {row.name}", caption=caption)

    def _of_model(self, fitted: Any) -> Iterator[Exhibit]:
        """Yield what a fitted rung itself has to show of the test rows, columns called by their names."""
        test = self._part("test")
        last = fitted.steps[-1][1] if hasattr(fitted, "steps") else fitted
        if not hasattr(last, "exhibits"):
            return
        scaled = last is not fitted
        rows: Any = fitted[:-1].transform(test) if scaled else test
        if len(getattr(last, "row_shape_", ())) > 1:
            rows = rows.reshape(len(rows), *self._picture)
        elif self.columns:
            last = copy(last)
            last.feature_names_in_ = np.array(self.columns, dtype=object)
            rows = pd.DataFrame(rows, columns=self.columns)
        labels = self._labels
        given = (rows, labels) if labels is not None and isinstance(last, RowsEstimator) else rows
        with warnings.catch_warnings():  # names are for the reader; the model itself learned from bare numbers
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            # the job shows learning curves itself
            found = [exhibit for exhibit in last.exhibits(given) if exhibit.title != "Learning curves"]
        yield from (exhibit if scaled else self._rounded(exhibit) for exhibit in found)

    def _rounded(self, exhibit: Exhibit) -> Exhibit:
        """Return an exhibit of drawn rows with the values of rounded columns rounded again."""
        if exhibit.title not in ("Samples", "Nearest rows") or exhibit.table is None or not self.steps:
            return exhibit
        table = exhibit.table.copy()
        for column in table.columns:
            name = str(column).removesuffix(" drawn").removesuffix(" of the nearest row")
            step = self.steps.get(name, 0.0)
            if step:
                bounds = np.array([self.bounds[name]])
                table[column] = snapped(table[column].to_numpy()[:, None], np.array([step]), bounds)[:, 0]
        return replace(exhibit, table=table)

    def _given_out(self, rows: np.ndarray) -> np.ndarray:
        """Return drawn rows as a user gets them: rounded where the data are; pixels from 0 to 1."""
        found = as_data(rows, self.record(), self.asked)
        return found / (levels_of(self.data) - 1) if self.data.kind == "images" else found

    @property
    def _labels(self) -> np.ndarray | None:
        """Classes of the test rows, for colours only."""
        if self.data.y is None:
            return None
        labels = np.asarray(self.data.y)[self.parts.test].astype(str)
        return labels if len(np.unique(labels)) <= MOST_COLOURS else None

    def pages(self, ladder: Ladder, folder: Path) -> dict[str, str]:
        """Write the latent page of the chosen rung, or else of the best that codes rows by two numbers or more."""
        sign = 1.0 if ladder.metric.higher_is_better else -1.0
        judged = [row for row in ladder.rows if row.name in ladder.fitted and row.valid is not None]
        order = sorted(judged, key=lambda row: (row.name != ladder.chosen, -sign * row.valid.value))  # type: ignore[union-attr]
        for row in order:
            model = ladder.fitted[row.name]
            if isinstance(model, FlowEstimator) or not hasattr(model, "inverse_transform") or row.kind == "trivial":
                continue  # a flow's code is as long as the row: there is no map of it
            rows: Any = self._part("test")
            if len(getattr(model, "row_shape_", ())) > 1:
                rows = rows.reshape(len(rows), *self._picture)
            labels = self._labels
            try:
                given = rows if labels is None else (rows, labels)
                latent_page(model, given, folder / LATENT, name=row.name, columns=self.columns or None)
            except InputError:
                continue
            return {f"Latent map of {row.name}": LATENT}
        return {}

    @property
    def _picture(self) -> tuple[int, ...]:
        shape = self.data.X.shape[1:]
        return shape[:2] if shape[-1] == 1 else shape

    def _pictures(self, fitted: Any, rows: np.ndarray) -> Iterator[Exhibit]:
        if hasattr(fitted, "inverse_transform") and not isinstance(fitted, FlowEstimator):  # a flow loses nothing
            try:
                after = rebuilt(fitted, rows)
            except (AttributeError, NotImplementedError):
                after = None
            if after is not None:
                yield reconstructions(*(side.reshape(-1, *self._picture) for side in (rows, after)))
        try:
            rows = drawn(fitted, 20, 0)
        except (AttributeError, NotImplementedError):
            return
        yield samples(self._given_out(rows).reshape(-1, *self._picture), [])

    def record(self) -> DataRecord:
        """Return what a run keeps of its data."""
        images = self.data.kind == "images"
        return DataRecord(
            name=self.name, kind=self.data.kind, rows=len(self.rows), columns=None if images else len(self.columns),
            names=self.columns, steps=self.steps, bounds=self.bounds, levels=levels_of(self.data) if images else None,
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


def levels_of(data: Dataset) -> int:
    """Return how many levels of brightness a pixel can have."""
    return int(data.scale) + 1


def matrix_of(data: Dataset, task: str, columns: list[str] | None = None) -> tuple[np.ndarray, list[str], list[Note]]:
    """Return rows as numbers: the numeric columns of a table, or pixels between 0 and 1.

    Pixels whose density is learned get noise of one step of brightness (drawn from a fixed seed): their values are
    steps, and a density on steps is infinite.
    """
    if data.kind == "images":
        pixels = np.asarray(data.X, dtype=np.float64)
        levels = levels_of(data)
        flat = pixels.reshape(len(pixels), -1)
        if task not in JUDGED:
            return flat / data.scale, [], []
        why = f"noise of one step of {levels} was added to each pixel; nats are those of brightness from 0 to 1"
        return dequantize(flat, levels=levels, random_state=0), [], [Note("pixels", why)]
    if data.kind != "table":
        raise DataError("a table of numbers, or images", data.kind, f"leave out --task {task}")
    table: Any = data.X
    notes: list[Note] = []
    if columns is None:
        found = {c.name: c for c in infer_columns(table)}
        columns = [name for name in table.columns if name in found and found[name].kind in ("number", "boolean")]
        counting = [str(n) for n in table.columns if n in found and found[n].kind == "identifier"]
        others = [str(name) for name in table.columns if name not in columns and str(name) not in counting]
        for names, why in ((counting, "tell rows apart"), (others, "hold no numbers")):
            if names:
                notes.append(Note(_columns(names), f"{why}; left out"))
    rows = np.column_stack([as_number(table[name]) for name in columns]) if columns else np.zeros((len(table), 0))
    rows = rows.astype(np.float64)
    rows[~np.isfinite(rows)] = np.nan
    return rows, [str(name) for name in columns], notes


def as_data(rows: np.ndarray, record: DataRecord, task: str) -> np.ndarray:
    """Return drawn rows as the data have them: columns rounded and within their range, pixels in their levels.

    Parameters
    ----------
    rows : ndarray of shape (n, columns)
        Drawn by a model of the data that ``record`` tells of, whose task was ``task``.
    """
    if record.levels:
        return levelled(rows, record.levels, spread=task in JUDGED)
    if not record.steps:
        return rows
    steps = np.array([record.steps.get(name, 0.0) for name in record.names])
    bounds = np.array([record.bounds.get(name, (-np.inf, np.inf)) for name in record.names])
    return snapped(rows, steps, bounds)


def open_alone(job: Job, settings: Mapping[str, str]) -> Opened:
    """Read and divide rows whose own structure is learned; large pictures are cut into patches for their factors.

    Raises
    ------
    DataError
        If they hold too few rows, or no numbers that vary.
    """
    task: Any = job.task
    if task not in ALONE:
        raise SettingError(f"one of {', '.join(ALONE)}", repr(task), "choose one")
    if task == "factors" and (pictures := read_pictures(job.source, least_side(settings))) is not None:
        return open_patches(job, pictures, settings)
    found = _read(job)
    data, own, sides = _joined(found), len(found.X), {"groups": found.groups, "time": found.time}
    rows, columns, notes = matrix_of(data, task)
    _check_size(rows, columns, data.name)
    with np.errstate(invalid="ignore"):
        moving = np.array([np.isfinite(c).any() and np.nanstd(c) > 0 for c in rows.T], dtype=bool)
    if data.kind == "table" and not moving.all() and moving.any():
        still = [name for name, moves in zip(columns, moving, strict=True) if not moves]
        notes.append(Note(f"columns {', '.join(still[:6])}", "do not vary and are left out"))
        rows, columns = rows[:, moving], [name for name, moves in zip(columns, moving, strict=True) if moves]
    if not moving.any():
        received = "; ".join(str(note) for note in notes) or "none"
        raise DataError(f"columns of numbers that vary in {data.name}", received, "pass another table")
    empty = np.isnan(rows).all(1)
    if empty.any():
        notes.append(Note("rows without any number", "are left out", int(empty.sum())))
        whole = ~empty[:own]
        sides = {name: None if values is None else values[whole] for name, values in sides.items()}
        rows, data, own = rows[~empty], data.take(np.flatnonzero(~empty)), int(whole.sum())
    if len(rows) < LEAST:
        raise DataError(f"{LEAST} rows or more", f"{len(rows)} in {data.name}", "add rows")
    if rows.shape[1] < 2 and task in ("factors", "compress"):
        mend = "add columns, or use --task density"
        raise DataError(f"two columns of numbers or more for --task {task}", f"one, {columns[0]!r}", mend)
    if data.target is not None:
        notes.append(Note(f"target {data.target!r}", "is not learned from"))
    gone = WITHOUT.get(task)
    if gone is None and np.isnan(rows).any():
        received = f"{int(np.isnan(rows).any(1).sum()):,} rows with missing values"
        raise DataError(f"rows without gaps for --task {task}", received, "fill or drop them, or use --task density")
    if gone is not None and np.isnan(rows).any():
        why = f"only models that take them as they are stand on the ladder; {gone} do not, and are left out"
        notes.append(Note("missing values", why, int(np.isnan(rows).sum())))
    plain = data.X.reshape(len(rows), -1) if isinstance(data.X, np.ndarray) else rows  # equal rows stay on one side
    print_, steps, bounds = fingerprint("rows", None, rows, None), {}, {}
    if data.kind == "table" and task != "compress":
        each, ends = steps_of(rows), bounds_of(rows)
        steps = {name: float(step) for name, step in zip(columns, each, strict=True) if step}
        bounds = {
            name: (float(low), float(high)) for name, (low, high) in zip(columns, ends, strict=True) if name in steps
        }
        if task in JUDGED:
            rows = spread_out(rows, each, np.random.default_rng(derive(job.seed, "steps")))
        notes += _rounding(steps, noise=task in JUDGED)
    test, valid = (0.2 if f is None else f for f in (job.test_fraction, job.valid_fraction))
    published = plain[own:] if own < len(rows) else None
    parts = split(plain[:own], test=test, valid=valid, stratify=False, published=published, seed=job.seed, **sides)
    if published is not None:
        parts = replace(parts, test=np.arange(own, len(rows)))
    text = settings.get("n_components")
    components = int(text) if text is not None and text.strip().isdecimal() and int(text) > 0 else COMPONENTS
    return OpenedAlone(
        data=data, columns=columns, rows=rows, parts=parts, asked=task, left_out=notes,
        components=min(components, rows.shape[1] - 1 or 1), fingerprint=print_, steps=steps, bounds=bounds,
    )  # fmt: skip


def _joined(data: Dataset) -> Dataset:
    """Return data with the publisher's test rows after its own, without what only its own rows have."""
    if data.test is None:
        return data
    X, y = data.test
    both = (
        pd.concat([data.X, X], ignore_index=True) if isinstance(data.X, pd.DataFrame) else np.concatenate([data.X, X])
    )
    labels = None if data.y is None or y is None else np.concatenate([np.asarray(data.y), np.asarray(y)])
    return replace(data, X=both, y=labels, test=None, row_names=None, groups=None, time=None)


def _read(job: Job) -> Dataset:
    """Read rows, or say what a source is instead."""
    try:
        return read(job.source, target=job.target, group=job.group, time=job.time, require_target=False)
    except DataError:
        if is_corpus(job.source, "auto"):
            mend = "learn the text with --task generate"
            raise DataError(f"a table of numbers or pictures for --task {job.task}", "a text", mend) from None
        if read_pictures(job.source, LARGE) is not None:
            mend = "use --task factors, which cuts them into patches"
            expected = f"pictures of one size for --task {job.task}"
            raise DataError(expected, "large ones of different sizes", mend) from None
        raise


def _check_size(rows: np.ndarray, columns: list[str], where: str) -> None:
    """Raise where squares of a column, or of how far it varies, are beyond what a float64 can hold."""
    for name, column in zip(columns, rows.T, strict=False):  # pixels have no names
        seen = column[np.isfinite(column)]
        if not len(seen):
            continue
        largest, apart = np.abs(seen).max(), np.ptp(np.clip(seen, -HUGE, HUGE))
        if largest > HUGE or 0 < apart < TINY:
            received = f"values up to {largest:.3g}" if largest > HUGE else f"values that differ by {apart:.3g}"
            expected = f"numbers between {TINY:g} and {HUGE:g} in size in {where}"
            raise DataError(expected, f"{received} in column {name!r}", "change its unit, or drop it")


def _rounding(steps: dict[str, float], *, noise: bool) -> list[Note]:
    """Say to which columns noise of one step was added, and of which samples are rounded."""
    notes = []
    for step in sorted(set(steps.values()), reverse=True):
        names = [name for name, each in steps.items() if each == step]
        what = "whole numbers" if step == 1 else f"rounded to {step:g}"
        why = f"{what}; samples are rounded too"
        if noise:
            why = f"{what}, on which a density could grow without bound: uniform noise of one step, {step:g}, was added"
        notes.append(Note(_columns(names), why, len(names)))
    return notes


def _columns(names: list[str]) -> str:
    """Name columns in a note, the first six of many."""
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"columns {shown}" if len(names) > 1 else f"column {shown}"
