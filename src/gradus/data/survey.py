"""One pass over a table larger than memory: every row's side of the split, a sample, the target, the fingerprint.

No row is held for the split. A row's side is a function of the seed and of a key made of its inputs, so equal rows lie
on one side whatever the order and the row groups they come in; with groups, the key is the group's. What is kept is one
bit a row, which says whether it is for training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.core.errors import DataError, InputError, SettingError
from gradus.data.batches import Batch
from gradus.data.dataset import Dataset, Note, brief
from gradus.data.gathering import MAX_CLASSES, Sampler, TargetTally
from gradus.data.memory import Shares, shares_of
from gradus.data.parquet import ParquetSource
from gradus.data.rowkeys import column_keys, joined_keys, key_of_numbers, uniform
from gradus.data.sides import Roles, Sides, sides_for
from gradus.data.splitting import SIDES, TEST, TRAIN, VALID, Split, near
from gradus.data.streaming import ParquetBatches
from gradus.data.tables import clean_columns, guess_target, no_column, without_values_beyond

__all__ = ["TableSurvey", "survey_table"]

# Side of a row that is left out.
NONE = -1
# Rows of each class that are in the sample at least: without them the network would not know the class.
OF_EACH_CLASS = 2


@dataclass(frozen=True, kw_only=True)
class TableSurvey:
    """What one pass over a table found.

    Attributes
    ----------
    data : Dataset
        The rows held in memory: a sample of the training rows, and the validation and test rows.
    split : Split
        Which of them are which.
    rows : int
        Rows of the whole that can be learned from or tested on.
    train_rows : int
        Training rows of the whole.
    task : {"classification", "regression", "auto"}
        What the whole target's values look like; auto where they are neither.
    why : str
        The reason.
    classes : dict of value to int, or None
        Training rows of each class.
    range : tuple of float
        Smallest and largest target, where it is a number.
    fingerprint : str
        SHA-256 over names, types and values, in the order of the rows.
    """

    data: Dataset
    split: Split
    rows: int
    train_rows: int
    task: str
    why: str
    classes: dict[Any, int] | None
    range: tuple[float, float]
    fingerprint: str
    source: ParquetSource
    keep: list[NDArray[np.uint8]]
    shares: Shares

    def batches(
        self, encode: Callable[[pd.DataFrame, pd.Series], Batch], *, batch_size: int, seed: int
    ) -> ParquetBatches:
        """Return the training rows as batches.

        Parameters
        ----------
        encode : callable
            ``(inputs, target) -> tensors``, for a frame of the columns of ``data.X``.
        batch_size : int
            Rows a step.
        seed : int
            Source of the orders.
        """
        table: Any = self.data.X
        columns, target = [str(c) for c in table.columns], str(self.data.target)

        def encoded(frame: pd.DataFrame) -> Batch:
            return encode(frame[columns], _words(frame[target])[0])

        return ParquetBatches(
            self.source, columns=columns, target=target, encode=encoded, keep=self.keep,
            batch_size=batch_size, seed=seed, window=self.shares.window,
        )  # fmt: skip


def survey_table(
    source: ParquetSource,
    *,
    memory: float,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    task: str = "auto",
    test: float = 0.2,
    valid: float = 0.2,
    seed: int = 0,
) -> TableSurvey:
    """Read a table once, to split it and to hold a sample of it.

    Parameters
    ----------
    source : ParquetSource
        The table.
    memory : float
        Bytes of data to hold at once.
    target : str or None
        The target's column; guessed from names and the first rows otherwise, with a note.
    group : str or None
        Column whose equal values stay on one side; it is no input.
    time : str or None
        Column to split by in time.
    task : {"auto", "classification", "regression"}
        What the target is.
    test, valid : float
        Shares of all rows, each in (0, 1), together below 1. Where rows are split at random, no more are taken from
        training than are held in memory.
    seed : int
        The same seed gives the same split.

    Raises
    ------
    DataError
        If columns are missing, or nothing can be learned from the target.
    InputError
        If there are too few groups or times for the sides.
    SettingError
        If the shares leave nothing to train on.
    """
    if test + valid >= 1 - 1e-9:
        raise SettingError("test and valid to leave rows to train on", f"{test} + {valid}", "set smaller shares")
    name = source.paths[0].name if len(source.paths) == 1 else source.paths[0].parent.name
    head = source.head()
    notes: list[Note] = []
    target = _checked_target(source, head, target, group, time, name, notes)
    shares = shares_of(memory, source.row_bytes)
    roles = Roles(source, head, target, group, time)
    sides = sides_for(roles, test, valid, shares, seed)
    found = _Pass(roles, sides, shares, seed).run()
    if sides.by == "content" and not near(found.tally.sides, sides.shares):
        why = "divided row by row: there are too few different ones to keep equal ones on one side"
        notes.append(Note("duplicate rows", why))
        found = _Pass(roles, sides.by_row(), shares, seed).run()
    return found.finish(name, task, notes)


def _checked_target(
    source: ParquetSource,
    head: pd.DataFrame,
    target: str | None,
    group: str | None,
    time: str | None,
    name: str,
    notes: list[Note],
) -> str:
    for role in (target, group, time):
        if role is not None and role not in source.names:
            raise no_column(role, head, name)
    for flag, role in (("--group", group), ("--time", time)):
        if role is not None and role == target:
            raise DataError(f"a column for {flag} beside the target", repr(role), "name another column")
    if group is not None and time is not None:
        raise InputError("rows to split by groups or by time", "both groups and time", "leave one of them out")
    if len(source.names) < 2:
        raise DataError("inputs and a target", f"one column, {source.names[0]!r}, in {name}", "add columns")
    if target is None:
        target, note = guess_target(head, excluded=(group, time))
        notes.append(note)
    if group is not None:
        notes.append(Note(f"column {group!r}", "says which rows belong together; it is no input"))
    for column in sorted(source.nested):
        notes.append(Note(f"column {column!r}", "nested values were turned into text"))
    if set(source.names) <= {target, group}:
        raise DataError("at least one column of inputs", f"none in {name} beside the target", "add columns")
    return target


def _words(values: pd.Series) -> tuple[pd.Series, int]:
    """Take spaces away from around a target's words, as for a table in memory; return how many had some."""
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return values, 0
    codes, found = pd.factorize(values.astype(object))
    trimmed = [(word.strip() or None) if isinstance(word, str) else word for word in found]
    changed = np.array([a is not b and a != b for a, b in zip(trimmed, found, strict=True)] + [False])
    table = np.empty(len(trimmed) + 1, dtype=object)
    table[:-1] = trimmed
    return pd.Series(table[codes], index=values.index), int(changed[codes].sum())


def _joined(tables: list[Any]) -> Any:
    import pyarrow as pa

    return pa.concat_tables(tables).combine_chunks()


def _picked(table: Any, mask: NDArray[np.bool_]) -> Any:
    return table.filter(mask)


class _Pass:
    """The pass itself: what is gathered from each piece, and what it amounts to."""

    def __init__(self, roles: Roles, sides: Sides, shares: Shares, seed: int) -> None:
        self.roles, self.sides, self.shares, self.seed = roles, sides, shares, seed
        self.tally = TargetTally()
        self.samplers = [Sampler(n, _picked, _joined) for n in (shares.sample, shares.held, shares.held)]
        self.few: list[Any] = []  # training rows of classes just met
        self.few_places: list[int] = []
        self.met: dict[Any, list[int]] = {}  # their places
        self.trimmed = self.lost = 0
        self.counting = {n for n in roles.inputs if roles.source.is_whole(n)}
        types = [(name, str(roles.source.type_of(name))) for name in roles.source.names]
        self.digest = hashlib.sha256(repr((types, roles.target)).encode())
        self.keep: list[NDArray[np.uint8]] = []

    def run(self) -> _Pass:
        source = self.roles.source
        for group in source.groups:
            train, at = [], group.first
            for table in source.pieces(group):
                train.append(self._take(table, np.arange(at, at + len(table), dtype=np.int64)))
                at += len(table)
            self.keep.append(np.packbits(np.concatenate(train)))
        return self

    def _take(self, table: Any, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Gather from one piece; return which of its rows are for training."""
        roles = self.roles
        keys = {name: column_keys(table.column(name)) for name in table.column_names}
        self.digest.update(joined_keys(keys.values(), len(table)).astype("<u8").tobytes())
        sides = self.sides.of(table, joined_keys((keys[name] for name in roles.inputs), len(table)), places)
        values, changed = _words(roles.source.frame(table.select([roles.target]))[roles.target])
        self.trimmed += changed
        missing = values.isna().to_numpy()
        if pd.api.types.is_float_dtype(values.dtype):
            missing = missing | np.isinf(values.to_numpy(dtype=float, na_value=np.nan))
        self.lost += int(missing.sum())
        sides = np.where(missing, NONE, sides)
        self.tally.add(values[~missing], sides[~missing])
        self._count(table, places)
        draws = uniform(key_of_numbers(places), self.seed, "sample")
        for side, sampler in enumerate(self.samplers):
            rows = (sides == side) & sampler.wants(draws)
            if rows.any():
                sampler.add(table.filter(rows), draws[rows], places[rows])
        self._meet(table, values, sides, places)
        return sides == TRAIN

    def _count(self, table: Any, places: NDArray[np.int64]) -> None:
        """Strike out the columns that do not count the rows."""
        for name in list(self.counting):
            values = table.column(name).to_numpy()
            first = int(values[0]) - int(places[0])
            if first not in (0, 1) or not np.array_equal(values, places + first):
                self.counting.discard(name)

    def _meet(self, table: Any, values: pd.Series, sides: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Put the first training rows of each class aside, in case that the sample has none of it."""
        if self.tally.many:
            self.few, self.few_places, self.met = [], [], {}
            return
        train = np.flatnonzero(sides == TRAIN)
        codes, distinct = pd.factorize(values.iloc[train])
        for code, value in enumerate(distinct.tolist()):
            known = self.met.setdefault(value, [])
            if len(known) < OF_EACH_CLASS:
                rows = train[np.flatnonzero(codes == code)[: OF_EACH_CLASS - len(known)]]
                known.extend(places[rows].tolist())
                self.few_places.extend(places[rows].tolist())
                self.few.append(table.take(rows))

    # -- what it amounts to --------------------------------------------------------------------------------------

    def finish(self, name: str, task: str, notes: list[Note]) -> TableSurvey:
        """Decide what the target is, and put the rows that are held together as a data set."""
        roles, tally, target = self.roles, self.tally, self.roles.target
        if not tally.n:
            raise DataError(f"values in the target {target!r}", f"none in {name}", "name another column as the target")
        self._say(notes)
        task, why = self._task(task, name)
        classes = self._classes(name, notes) if task == "classification" else None
        counts = tally.sides.copy()
        counts -= self._left_out(classes)
        parts = self._held(classes)
        for side, part in enumerate(parts):
            if not len(part):
                received = f"{tally.n:,} rows" if roles.group is None else f"too few groups in {tally.n:,} rows"
                raise InputError(f"enough to fill the {SIDES[side]} side", received, "add some, or set larger shares")
        held = np.array([len(part) for part in parts])
        ends = np.cumsum(held)
        whole = pd.concat(parts, ignore_index=True)
        data = Dataset(
            name=name.split(".")[0] or name, kind="table", X=self._inputs(whole, name, notes),
            y=_words(whole[target])[0], target=target, notes=tuple(notes), origin=_origin(roles.source),
        )  # fmt: skip
        rows = [np.arange(end - n, end, dtype=np.int64) for n, end in zip(held, ends, strict=True)]
        return TableSurvey(
            data=data, split=Split(rows[TRAIN], rows[VALID], rows[TEST], self.sides.told(counts, held)),
            rows=int(counts.sum()), train_rows=int(counts[TRAIN]), task=task, why=why, classes=classes,
            range=(tally.low, tally.high), fingerprint=self.digest.hexdigest(), source=roles.source, keep=self.keep,
            shares=self.shares,
        )  # fmt: skip

    def _say(self, notes: list[Note]) -> None:
        target = self.roles.target
        if self.trimmed:
            notes.append(Note(f"target {target!r}", "spaces around its values were taken away", self.trimmed))
        if self.lost:
            notes.append(Note("rows without a target", f"dropped: {target!r} is missing there", self.lost))
        for column in sorted(self.counting):
            notes.append(Note(f"column {column!r}", "left out: it counts the rows"))

    def _task(self, task: str, name: str) -> tuple[str, str]:
        tally, target = self.tally, self.roles.target
        numbers = self.roles.source.is_number(target)
        if tally.many and (task == "classification" or (task == "auto" and not numbers)):
            mend = "name another column as the target" + (", or ask for --task regression" if numbers else "")
            raise DataError(f"at most {MAX_CLASSES:,} classes in the target {target!r}", f"more in {name}", mend)
        if not tally.many and len(tally.counts) < 2:
            raise DataError(
                f"different values in the target {target!r}",
                f"only {brief(tally.counts)} in {name}",
                "name another column as the target, or add rows of another class",
            )
        if task != "auto":
            return task, "as asked"
        if tally.are_classes():
            return "classification", f"{target} has {len(tally.counts):,} different values that look like classes"
        different = f"more than {MAX_CLASSES:,}" if tally.many else f"{len(tally.counts):,}"
        return ("regression" if numbers else "auto"), f"{target} has {different} different numbers"

    def _classes(self, name: str, notes: list[Note]) -> dict[Any, int]:
        """Return the training rows of each class that can be learned."""
        counts = self.tally.counts
        lonely = [value for value, sides in counts.items() if sides.sum() == 1]
        if len(counts) - len(lonely) < 2 or len(lonely) > self.tally.n / 2:
            raise DataError(
                f"classes of two rows or more in the target {self.roles.target!r}",
                f"{len(lonely)} of {len(counts)} classes with a single row in {name}",
                "name another column as the target, or add rows",
            )
        if lonely:
            shown = brief(sorted(map(str, lonely)))
            why = f"dropped: one row can be learned from or tested on, not both ({shown})"
            notes.append(Note("classes of a single row", why, len(lonely)))
        unseen = [v for v, sides in counts.items() if sides.sum() > 1 and not sides[TRAIN]]
        if unseen:
            why = f"dropped: they have no training row ({brief(sorted(map(str, unseen)))})"
            notes.append(Note("classes", why, len(unseen)))
        single = {value: 0 for value in lonely}
        return {value: int(sides[TRAIN]) for value, sides in counts.items() if sides[TRAIN] and value not in single}

    def _left_out(self, classes: dict[Any, int] | None) -> NDArray[np.int64]:
        """Take the rows of classes that are left out from the training rows; return how many lay on each side."""
        out = np.zeros(3, dtype=np.int64)
        if classes is None:
            return out
        for value, sides in self.tally.counts.items():
            if value in classes:
                continue
            out += sides
            for place in self.met.get(value, ()):  # one at most: classes of more training rows are learned
                number = next(i for i, g in enumerate(self.roles.source.groups) if place < g.first + g.rows)
                at = place - self.roles.source.groups[number].first
                self.keep[number][at // 8] &= 255 ^ (128 >> at % 8)
        return out

    def _held(self, classes: dict[Any, int] | None) -> list[pd.DataFrame]:
        """Return the rows held of each side, those of classes that are left out apart."""
        target, frames = self.roles.target, []
        for sampler in self.samplers:
            table, _ = sampler.taken()
            frames.append(self.roles.source.head(0) if table is None else self.roles.source.frame(table))
        if classes is None:
            return frames
        if self.few:
            few = self.roles.source.frame(_joined(self.few)).iloc[np.argsort(self.few_places)]
            absent = ~_words(few[target])[0].isin(_words(frames[TRAIN][target])[0])
            frames[TRAIN] = pd.concat([frames[TRAIN], few[absent]], ignore_index=True)
        return [frame[_words(frame[target])[0].isin(list(classes))] for frame in frames]

    def _inputs(self, whole: pd.DataFrame, name: str, notes: list[Note]) -> pd.DataFrame:
        X = whole[[column for column in self.roles.inputs if column not in self.counting]]
        X = clean_columns(without_values_beyond(np.finfo(np.float64).max, X, notes), notes)
        if not X.shape[1]:
            raise DataError("at least one column of inputs", f"only empty ones in {name}", "add columns")
        if all(X[column].nunique(dropna=False) == 1 for column in X.columns):
            received = f"the same values in every row of {name}"
            raise DataError("inputs that differ between rows", received, "add columns that tell the rows apart")
        return X


def _origin(source: ParquetSource) -> str:
    return str(source.paths[0] if len(source.paths) == 1 else source.paths[0].parent)
