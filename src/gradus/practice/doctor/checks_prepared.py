"""Stage one, goes on: whether training and validation inputs were prepared alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from gradus.practice.doctor.findings import Finding

__all__ = ["check_prepared"]


def check_prepared(train: Tensor, valid: Tensor, drawn: float = 0.0) -> Iterator[Finding]:
    """Yield what makes validation inputs another kind of numbers; ``drawn``: how far new draws move training rows."""
    yield from _prepared(train, valid, drawn)
    renumbered = list(_renumbered(train, valid))
    yield from renumbered
    yield from _reordered(train, valid)
    yield from () if renumbered else _other_codes(train, valid)
    yield from _other_names(train, valid)


def _drifts(rows: Tensor, way: float) -> bool:
    """Whether training rows, in their order, go the way in which validation rows lie: a series that rises or falls."""
    quarter = max(1, len(rows) // 4)
    return (float(rows[-quarter:].mean()) - float(rows[:quarter].mean())) * (1 if way > 0 else -1) > 0.4 * abs(way)


def _climbs(a: Tensor, b: Tensor) -> bool:
    """Whether rows are windows of a series that rises or falls, in any order, and validation begins near its end.

    Numbers follow each other smoothly within a row, nearly every row goes the way in which validation rows lie, and
    these begin where training rows end.
    """
    quarter = a.shape[1] // 4
    if quarter < 2 or float(a.diff(dim=1).abs().mean()) > 0.2 * float(a.std()):
        return False
    way = 1.0 if float(b.mean()) > float(a.mean()) else -1.0
    going = way * (a[:, -quarter:].mean(1) - a[:, :quarter].mean(1)) > 0
    known, new = way * a.mean(1), way * b.mean(1)
    return float(going.double().mean()) > 0.9 and float(new.min() - known.max()) < 0.25 * float(
        known.max() - known.min()
    )


def _prepared(train: Tensor, valid: Tensor, drawn: float = 0.0) -> Iterator[Finding]:
    """Find validation inputs on another scale, or scaled by numbers of their own."""
    if not (train.is_floating_point() and valid.is_floating_point()) or train.shape[1:] != valid.shape[1:]:
        return
    a, b = train.double().reshape(len(train), -1), valid.double().reshape(len(valid), -1)
    if not (bool(torch.isfinite(a).all()) and bool(torch.isfinite(b).all())):
        return
    spread_a, spread_b = float(a.std()), float(b.std())
    if min(spread_a, spread_b) <= 0:
        return
    ratio = max(spread_a, spread_b) / min(spread_a, spread_b)
    shift = abs(float(a.mean() - b.mean())) / max(spread_a, spread_b)
    seen = (
        f"training inputs have mean {float(a.mean()):.3g} and spread {spread_a:.3g}, "
        f"validation inputs {float(b.mean()):.3g} and {spread_b:.3g}"
    )
    columns = a.std(0) > 1e-6 * spread_a  # one that is constant in training says nothing of its scale
    if int(columns.sum()) == 0:
        return
    filled = columns & ((a != 0).double().mean(0) > 0.5)  # the others are mostly padding
    padded = train.ndim == 3 and int(filled.sum()) >= max(3, 0.05 * len(columns))
    columns = filled if padded else columns
    gaps = ((a.mean(0) - b.mean(0)).abs() / a.std(0).clamp_min(1e-12))[columns]
    scales = (b.std(0) / a.std(0).clamp_min(1e-12))[columns]
    if padded:  # and what is no measurement, such as a length, hides the scale of all together
        middle = float(scales.median())
        ratio, shift = max(ratio, middle, 1 / max(middle, 1e-9)), max(shift, float(gaps.median()))
    off = float(((gaps > 1.0) | (scales > 3) | (scales < 1 / 3)).double().mean())
    usual = [abs(float(t.mean())) < 0.15 and abs(float(t.std()) - 1) < 0.2 for t in (a, b)]
    if drawn > 0.5 and usual[0] == usual[1] and off > 0.5 and (ratio > 2 or shift > 0.5):
        yield Finding("destructive_augmentation", "train inputs", f"{seen}; training rows are drawn anew", 0.75)
        return
    if (ratio > 2 or shift > 0.5) and off > 0.5:
        far = ratio > 5 or shift > 1.5
        drifts = ratio < 3 and (_drifts(a, float(b.mean() - a.mean())) or _climbs(a, b))
        yield Finding("inconsistent_preparation", "valid inputs", seen, 0.4 if drifts else 0.95 if far else 0.75)
        if far:
            return
    own = float(((b.mean(0).abs() < 2e-6) & ((b.std(0) - 1).abs() < 2e-2))[columns].double().mean())
    theirs = float((a.mean(0).abs() < 2e-3)[columns].double().mean())
    if b.shape[1] > 1 and own > 0.9 and theirs > 0.9 and len(valid) != len(train):
        seen = f"each column of the {len(valid)} validation rows has mean 0 and spread 1 of its own"
        yield Finding("inconsistent_preparation", "valid inputs", seen, 0.45)


def _reordered(train: Tensor, valid: Tensor) -> Iterator[Finding]:
    """Find validation columns in another order: the columns fit those of training if they change places."""
    if train.ndim != 2 or not train.is_floating_point() or train.shape[1:] != valid.shape[1:]:
        return
    if not 4 <= train.shape[1] <= 200 or min(len(train), len(valid)) < 50:
        return
    from scipy.optimize import linear_sum_assignment

    a, b = (t[:2000].double().numpy() for t in (train, valid))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return
    levels = np.linspace(0.05, 0.95, 19)
    ours, theirs = (np.quantile(t, levels, axis=0).T for t in (a, b))
    size = np.maximum(a.std(0), 1e-9)
    gaps = np.abs(ours[:, None] - theirs[None]).mean(2) / np.minimum(size[:, None], np.maximum(b.std(0), 1e-9)[None])
    gaps = np.minimum(gaps, 10)
    rows, columns = linear_sum_assignment(gaps)
    moved = rows != columns
    given, best = float(gaps.diagonal().mean()), float(gaps[rows, columns].mean())
    if moved.mean() > 0.25 and given > 0.25 and best < 0.3 * given and best < 0.15:
        seen = (
            f"{moved.mean():.0%} of the columns fit those of training if they change places (column {rows[moved][0]} "
        )
        seen += f"there is column {columns[moved][0]} here)"
        yield Finding("inconsistent_preparation", "valid inputs", f"{seen}: they stand in another order", 0.88)


def _renumbered(train: Tensor, valid: Tensor) -> Iterator[Finding]:
    """Find categories or tokens that have other numbers in validation: as many of each kind, under other numbers."""
    if train.ndim != 2 or valid.ndim != 2 or min(len(train), len(valid)) < 50:
        return
    if not train.is_floating_point() and train.shape[1] > 30:
        pairs = [(train.reshape(-1), valid.reshape(-1), "tokens")]
    else:
        pairs = [(train[:, k], valid[:, k], f"column {k} of the inputs") for k in range(min(train.shape[1], 200))]
    for ours, theirs, place in pairs:
        if not bool((ours == ours.round()).all() and (theirs == theirs.round()).all()):
            continue
        low, top = float(ours.min()), int(ours.max() - ours.min()) + 1
        if not 4 <= top <= 5000 or float(theirs.min()) < low or float(theirs.max()) >= low + top:
            continue
        a, b = (torch.bincount((t - low).long(), minlength=top).double() for t in (ours, theirs))
        if int((a > 0).sum()) < 0.9 * top or int((b > 0).sum()) < 0.5 * top:
            continue  # no numbering without gaps
        p, q = a / a.sum(), b / b.sum()
        chance = 0.4 * float((p * (1 - p) * (1 / len(ours) + 1 / len(theirs))).clamp_min(0).sqrt().sum())
        apart, named = _apart(p, q), _apart(p.sort().values, q.sort().values)
        uneven = _apart(p, torch.full_like(p, 1 / top))
        if apart > max(0.25, 4 * chance) and named < max(0.05, 1.3 * chance) and uneven > 0.25:
            seen = (
                f"shares of its {top} kinds differ by {apart:.0%} between training and validation, and by {named:.0%} "
                "if kinds are matched by how often they occur"
            )
            yield Finding("inconsistent_preparation", place, f"{seen}: they are numbered otherwise there", 0.85)
            return


def _other_codes(train: Tensor, valid: Tensor) -> Iterator[Finding]:
    """Find validation sequences of other codes than those of training: encoded by another table, or not at all."""
    if train.is_floating_point() or valid.is_floating_point() or train.ndim != 2 or valid.ndim != 2:
        return
    if min(train.shape[1], valid.shape[1]) < 4 or min(int(train.min()), int(valid.min())) < 0:
        return
    size = 1 + max(int(train.max()), int(valid.max()))
    if size > 20_000:
        return
    half = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)) % 2 == 0
    one, other, theirs = (_used(part, size) for part in (train[half], train[~half], valid))
    if min(float(part.sum()) for part in (one, other)) < 200:
        return
    ours, empty = (~_inside(part[:200]).any(1) for part in (train, valid))
    share = float(empty.double().mean())
    if share > 0.5 and int(ours.sum()) < 0.05 * 200:
        seen = f"{share:.0%} of the validation sequences hold a single code"
        yield Finding("inconsistent_preparation", "train and valid", f"{seen}, next to none of the training ones", 0.88)
        return
    if float(theirs.sum()) < 200:
        return
    apart, chance = (_apart(a / a.sum(), b / b.sum()) for a, b in ((one + other, theirs), (one, other)))
    if apart > 0.5 and apart > 3 * chance:
        seen = f"{apart:.0%} of the codes would have to change for validation to hold the same as training"
        yield Finding("inconsistent_preparation", "train and valid", f"{seen} (halves of training: {chance:.0%})", 0.85)


def _other_names(train: Tensor, valid: Tensor) -> Iterator[Finding]:
    """Find users, films and the like that validation numbers anew: what is often named in training is not, there."""
    if train.is_floating_point() or valid.is_floating_point() or train.shape[1:] != valid.shape[1:] or train.ndim > 2:
        return
    ours, theirs = (part.reshape(len(part), -1) for part in (train, valid))
    if ours.shape[1] > 3 or min(int(ours.min()), int(theirs.min())) < 0:
        return
    half = torch.randperm(len(ours), generator=torch.Generator().manual_seed(0)) % 2 == 0
    for k in range(ours.shape[1]):
        size = 1 + max(int(ours[:, k].max()), int(theirs[:, k].max()))
        one, other, there = (torch.bincount(part[:, k], minlength=size) for part in (ours[half], ours[~half], theirs))
        both = (one + other > 0) & (there > 0)
        if int(both.sum()) < 40 or int(both.sum()) < 0.3 * int((there > 0).sum()):
            continue  # most are new there
        within, across = (_ranked_alike(a[both], b[both]) for a, b in ((one, other), (one + other, there)))
        if within > 0.5 and across < 0.2 * within:
            seen = f"what input {k} names often in training is not what it names often in validation: how often"
            seen += f" goes together by {across:.2f} (rank correlation; {within:.2f} between halves of training)"
            yield Finding("inconsistent_preparation", "train and valid", seen, 0.9)
            return


def _ranked_alike(one: Tensor, other: Tensor) -> float:
    """Return the rank correlation of two rows of numbers."""
    from scipy.stats import spearmanr

    found = float(spearmanr(one.numpy(), other.numpy()).statistic)
    return found if np.isfinite(found) else 0.0


def _apart(p: Tensor, q: Tensor) -> float:
    """Return the share of one distribution that has to move for it to be the other."""
    return 0.5 * float((p - q).abs().sum())


def _used(rows: Tensor, size: int) -> Tensor:
    """Return how often each code occurs, without the runs of one code at the ends of rows, as padding makes them."""
    return torch.bincount(rows[_inside(rows)].long(), minlength=size).double()


def _inside(rows: Tensor) -> Tensor:
    """Return which places of rows lie in no run of one code at an end."""
    inside = torch.ones_like(rows, dtype=torch.bool)
    for part, edge in ((rows, rows[:, :1]), (rows.flip(1), rows[:, -1:])):
        run = (part == edge).cumprod(1).bool()
        run &= run.sum(1, keepdim=True) > 1
        inside &= ~(run if part is rows else run.flip(1))
    return inside
