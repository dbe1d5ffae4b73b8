"""One split into training, validation and test rows, without leakage.

Rows that belong together stay together: those of one group, and those whose inputs are equal, since a copy in
the test part is an answer seen in training. Classes keep their shares, each within one row where no bundle of
rows forbids it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive
from gradus.data.columns import looks_like_classes
from gradus.data.dataset import Dataset, Note
from gradus.data.fingerprint import row_hashes

__all__ = ["SIDES", "TEST", "TRAIN", "VALID", "Split", "near", "split"]

TRAIN, VALID, TEST = 0, 1, 2
SIDES = ("training", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows are for training, validation and test.

    Parameters
    ----------
    train, valid, test : int64 arrays
        Positions of rows, ascending, or in the order of time where that was split by.
    how : str
        What was done, in one sentence.
    notes : tuple of Note
        What could not be done as asked, and what was kept together.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    how: str
    notes: tuple[Note, ...] = ()


def split(
    data: Dataset | pd.DataFrame | np.ndarray,
    y: Any = None,
    *,
    test: float | int = 0.2,
    valid: float | int = 0.2,
    stratify: bool = True,
    groups: Any = None,
    time: Any = None,
    published: Any = None,
    seed: int = 0,
) -> Split:
    """Split rows into training, validation and test.

    Parameters
    ----------
    data : Dataset, DataFrame or array
        The rows; a `Dataset` brings its target, groups, times and the publisher's own test part, which is
        respected: no further test rows are taken.
    y : array or None
        The target, one value a row.
    test, valid : float
        Shares of all rows, each in [0, 1), together below 1.
    stratify : bool
        Keep the classes' shares on every side, if ``y`` holds classes as
        `gradus.data.columns.looks_like_classes` tells.
    groups : array or None
        Rows with equal values stay on one side.
    time : array or None
        Sortable; test rows come after validation rows, and those after training rows. Equal times stay
        together.
    published : DataFrame or array, optional
        Rows of the publisher's own test part, which are not among ``data``: no further test rows are taken. A
        `Dataset` brings its own.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    Split
        Disjoint positions that cover all rows.

    Raises
    ------
    InputError
        If there are too few rows or groups for the sides asked for, or both groups and time are given.

    Examples
    --------
    >>> parts = split(np.arange(20).reshape(10, 2), [0, 1] * 5, test=0.2, valid=0.2)
    >>> len(parts.train), len(parts.valid), len(parts.test)
    (6, 2, 2)
    """
    X: Any = data
    if isinstance(data, Dataset):
        X, published = data.X, data.test[0] if data.test and published is None else published
        y = data.y if y is None else y
        groups = data.groups if groups is None else groups
        time = data.time if time is None else time
    n = len(X)
    for share, name in ((test, "test"), (valid, "valid")):
        if not 0 <= share < 1:
            raise SettingError(f"{name} to be a share in [0, 1)", str(share), f"set for example {name}=0.2")
    shares = np.array([1.0 - valid - test, valid, test])
    if published is not None:
        shares = np.array([1.0 - valid, valid, 0.0])
    if shares[TRAIN] <= 1e-9:
        raise SettingError("test and valid to leave rows to train on", f"{test} + {valid}", "set smaller shares")
    if n <= int((shares > 0).sum()) - 1:
        raise InputError("a row for each side of the split", f"{n} rows", "add rows or set smaller shares")
    for values, name in ((y, "y"), (groups, "groups"), (time, "time")):
        if values is not None and len(values) != n:
            raise InputError(f"{n} values in {name}, one a row", str(len(values)), "pass one value a row")
    if groups is not None and time is not None:
        received = "both groups and time"
        raise InputError("rows to split by groups or by time", received, "leave one of them out")
    if time is not None:
        parts = _by_time(X, time, shares)
    else:
        told = isinstance(data, Dataset) and any(note.what == "duplicate rows" for note in data.notes)
        parts = _at_random(X, y if stratify else None, groups, shares, seed, told)
    return parts if published is None else _respecting(parts, X, published)


def _respecting(parts: Split, X: Any, published: Any) -> Split:
    known = np.isin(row_hashes(published), row_hashes(X)) if type(X) is type(published) else np.zeros(0, bool)
    notes = list(parts.notes)
    if known.any():
        why = "occur among the training rows too; left as published, so the test flatters a little"
        notes.append(Note("rows of the publisher's test part", why, int(known.sum())))
    how = f"the publisher's own test part of {len(published):,} rows; the rest: {parts.how}"
    return Split(parts.train, parts.valid, parts.test, how, tuple(notes))


def _by_time(X: Any, time: Any, shares: np.ndarray) -> Split:
    times = np.asarray(time)
    if pd.isna(times).any():
        raise InputError("a time for every row", f"{int(pd.isna(times).sum())} missing", "drop those rows")
    order = np.argsort(times, kind="stable")
    ordered, n = times[order], len(times)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))  # where a side may begin
    low = 0
    cuts: list[int] = []
    for wanted, share in ((n * shares[TRAIN], shares[VALID]), (n * (1 - shares[TEST]), shares[TEST])):
        if share == 0:
            cuts.append(n if not cuts or shares[TEST] == 0 else cuts[-1])
            continue
        free = starts[starts > low]
        if not cuts and shares[TEST] > 0:
            free = free[:-1]  # the last time is left for the test side
        if not len(free):
            received = f"{len(starts)} different ones in {n} rows"
            raise InputError("more different times than sides of the split", received, "set valid=0 or split at random")
        low = int(free[np.abs(free - wanted).argmin()])
        cuts.append(low)
    if shares[VALID] == 0:
        cuts[0] = cuts[1]
    train, valid, test = np.split(order.astype(np.int64), cuts)
    hashes = row_hashes(X)
    repeated = int(np.isin(hashes[np.concatenate([valid, test])], hashes[train]).sum())
    notes = []
    if repeated:
        why = "equal an earlier row on another side; time was kept, so they were not moved"
        notes.append(Note("later rows", why, repeated))
    how = f"by time: the last {len(test):,} rows for test, the {len(valid):,} before them for validation"
    return Split(train, valid, test, how, tuple(notes))


def _at_random(X: Any, y: Any, groups: Any, shares: np.ndarray, seed: int, told: bool) -> Split:
    n = len(X)
    classes, notes = np.zeros(n, dtype=np.int64), []
    stratified = y is not None and looks_like_classes(y)
    if stratified:
        classes, names = pd.factorize(pd.Series(y).reset_index(drop=True), use_na_sentinel=False, sort=False)
        stratified = len(names) > 1
    duplicates = _codes(row_hashes(X))
    units = duplicates if groups is None else _joined(duplicates, _codes(groups))
    generator = np.random.default_rng(derive(seed, "split"))
    sides = _assign(classes, units, shares, generator)
    if groups is None and not near(np.bincount(sides, minlength=3), shares):
        # A table of few different rows (two binary columns, say) cannot be divided by them.
        sides = _assign(classes, np.arange(n), shares, generator)
        why = "divided row by row: there are too few different ones to keep equal ones on one side"
        notes.append(Note("duplicate rows", why, n - len(np.unique(duplicates))))
    elif not told and len(np.unique(duplicates)) < n:
        notes.append(Note("duplicate rows", "kept on one side", n - len(np.unique(duplicates))))
    counts = np.bincount(sides, minlength=3)
    for side, share in enumerate(shares):
        if share > 0 and not counts[side]:
            received = f"{n} rows" if groups is None else f"{len(np.unique(_codes(groups)))} groups, {n} rows"
            raise InputError(f"enough to fill the {SIDES[side]} side", received, "add some, or set its share to 0")
    if stratified:
        notes.extend(_unseen(classes, sides))
    ways = ["by groups"] * (groups is not None) + ["stratified by class"] * stratified
    how = f"{' and '.join(ways) or 'at random'}, seed {seed}: {counts[0]:,} rows for training" + "".join(
        f", {counts[side]:,} for {SIDES[side]}" for side in (VALID, TEST) if shares[side] > 0
    )
    train, valid, test = (np.flatnonzero(sides == side).astype(np.int64) for side in (TRAIN, VALID, TEST))
    return Split(train, valid, test, how, tuple(notes))


def _codes(values: Any) -> np.ndarray:
    return pd.factorize(pd.Series(np.asarray(values)), use_na_sentinel=False)[0].astype(np.int64)


def _joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Give one number to the rows that are equal in ``a`` or in ``b``, or linked by others that are."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_a = int(a.max()) + 1
    size = n_a + int(b.max()) + 1
    links = coo_array((np.ones(len(a), dtype=np.int8), (a, b + n_a)), shape=(size, size))
    return connected_components(links, directed=False)[1][a].astype(np.int64)


def near(counts: np.ndarray, shares: np.ndarray) -> bool:
    """Whether every side got at least half and at most twice of the rows it should have.

    Parameters
    ----------
    counts : array of shape (3,)
        Rows on each side.
    shares : array of shape (3,)
        The share of all rows each should have.

    Examples
    --------
    >>> near(np.array([70, 20, 10]), np.array([0.6, 0.2, 0.2])), near(np.array([90, 9, 1]), np.array([0.6, 0.2, 0.2]))
    (True, False)
    """
    wanted = shares * counts.sum()
    return bool(
        np.all((counts >= np.floor(wanted / 2)) & (counts <= np.ceil(wanted * 2)) & ((counts > 0) | (shares == 0)))
    )


def _unseen(classes: np.ndarray, sides: np.ndarray) -> list[Note]:
    missing = np.setdiff1d(classes, classes[sides == TRAIN])
    why = "have no training row: their rows could not be divided"
    return [Note("classes", why, len(missing))] if len(missing) else []


def _quotas(sizes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Round ``sizes x shares`` to whole rows: each within one, rows exact, sides within one as far as can be.

    Each entry is its value rounded down or up. A class has 0, 1 or 2 rows left after rounding down; they go,
    one each, to the sides furthest below their totals among those whose share of it is no whole number.
    """
    exact = sizes[:, None] * shares[None, :]
    quotas = np.floor(exact + 1e-9).astype(np.int64)
    rest = np.maximum(exact - quotas, 0.0)
    quotas[sizes == 1] = (1, 0, 0)  # a class nobody saw in training cannot be tested
    rest[sizes == 1] = 0.0
    totals = shares * sizes.sum()
    left = sizes - quotas.sum(axis=1)
    filled = quotas.sum(axis=0).astype(float)
    # Classes with the most certain remainders first, so that the undecided ones even out the totals.
    for row in np.argsort(-rest.max(axis=1), kind="stable"):
        for _ in range(int(left[row])):
            open_sides = rest[row] > 1e-9
            side = int(np.argmax(np.where(open_sides, totals - filled, -np.inf)))
            quotas[row, side] += 1
            filled[side] += 1
            rest[row, side] = 0.0
    _even_out(quotas, exact, totals)
    return quotas


def _even_out(quotas: np.ndarray, exact: np.ndarray, totals: np.ndarray) -> None:
    """Pass single rows of a class from a side above its total to one below, until all are within one row.

    A class gives up only what it had been rounded up by, and takes only where it had been rounded down; where no class
    can pass a row on directly, it goes by the third side.
    """
    floor = np.floor(exact + 1e-9).astype(np.int64)
    undecided = (exact - floor > 1e-9) & (quotas.sum(axis=1) > 1)[:, None]
    for _ in range(quotas.size):
        gap = quotas.sum(axis=0) - totals
        high, low = int(gap.argmax()), int(gap.argmin())
        if gap[high] <= 1 + 1e-9 and gap[low] >= -1 - 1e-9:
            return
        up, down = undecided & (quotas > floor), undecided & (quotas == floor)
        ways = [[high, low], [high, 3 - high - low, low]]
        way = next((w for w in ways if all((up[:, a] & down[:, b]).any() for a, b in pairwise(w))), None)
        if way is None:
            return
        for a, b in pairwise(way):
            row = int(np.argmax(undecided[:, a] & (quotas > floor)[:, a] & (quotas == floor)[:, b] & undecided[:, b]))
            quotas[row, a] -= 1
            quotas[row, b] += 1


def _assign(classes: np.ndarray, units: np.ndarray, shares: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Give each row a side: bundles of rows first, largest first, then single rows up to the exact quotas."""
    sizes = np.bincount(classes)
    room = _quotas(sizes, shares)
    sides = np.full(len(classes), TRAIN, dtype=np.int64)
    unit_sizes = np.bincount(units)
    bundled = unit_sizes[units] > 1
    _place_bundles(sides, room, classes, units, np.flatnonzero(bundled), shares, generator)
    single = np.flatnonzero(~bundled)
    single = generator.permutation(single)
    by_class = single[np.argsort(classes[single], kind="stable")]
    ends = np.cumsum(np.bincount(classes[single], minlength=len(sizes)))
    for number, rows in enumerate(np.split(by_class, ends[:-1])):
        space = np.maximum(room[number], 0)
        while space.sum() > len(rows):  # bundles took more than their side's quota: the fullest quotas give way
            space[space.argmax()] -= 1
        sides[rows] = np.repeat(np.arange(3), space)
    return sides


def _place_bundles(
    sides: np.ndarray,
    room: np.ndarray,
    classes: np.ndarray,
    units: np.ndarray,
    rows: np.ndarray,
    shares: np.ndarray,
    generator: np.random.Generator,
) -> None:
    """Put each bundle where it overshoots the quotas least, drawing among equals by the room left."""
    if not len(rows):
        return
    names, bundle_of, lengths = np.unique(units[rows], return_inverse=True, return_counts=True)
    pieces, counts = np.unique(bundle_of * len(room) + classes[rows], return_counts=True)
    ends = np.searchsorted(pieces, np.arange(len(names) + 1) * len(room)).tolist()
    kinds, sizes, free = (pieces % len(room)).tolist(), counts.tolist(), room.tolist()
    order = generator.permutation(len(names))
    order = order[np.argsort(-lengths[order], kind="stable")]
    draws = generator.random(len(names)).tolist()
    open_sides = [side for side in (TRAIN, VALID, TEST) if shares[side] > 0]
    chosen = np.zeros(len(names), dtype=np.int64)
    for bundle, draw in zip(order.tolist(), draws, strict=True):
        over, space = [0, 0, 0], [0, 0, 0]
        span = range(ends[bundle], ends[bundle + 1])
        for side in open_sides:
            for piece in span:
                left = max(free[kinds[piece]][side], 0)
                over[side] += max(sizes[piece] - left, 0)
                space[side] += left
        least = min(over[side] for side in open_sides)
        best = [side for side in open_sides if over[side] == least]
        mark, pick = draw * sum(space[side] for side in best), best[0]
        for side in best:
            if space[side] > 0:
                pick, mark = side, mark - space[side]
                if mark < 0:
                    break
        chosen[bundle] = pick
        for piece in span:
            free[kinds[piece]][pick] -= sizes[piece]
    room[:] = free
    sides[rows] = chosen[bundle_of]
