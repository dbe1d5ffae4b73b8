"""Stage one: the data, before any network sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradus.practice.doctor.checks_loading import draws
from gradus.practice.doctor.checks_prepared import check_prepared
from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient, parts_of
from gradus.practice.doctor.task import Task, turns

__all__ = ["check_data"]

ROWS = 4000


def check_data(patient: Patient, task: Task) -> Iterator[Finding]:
    """Yield what is wrong with the rows of training and validation, whatever the network."""
    train = patient.train.rows(ROWS)
    valid = patient.valid.rows(ROWS) if patient.valid is not None else ()
    borne = _fills_in(patient, train) or _passes_over(patient, train)
    yield from _non_finite(train, "train", borne)
    yield from _non_finite(valid, "valid", borne)
    if not train or not train[0].ndim or len(train[0]) < 8:
        return
    yield from _constant(train[0])
    yield from _scrambled(train[0])
    yield from _rows_standardized(train[0])
    yield from _stands_for_missing(train[0])
    if valid and len(valid[0]) >= 8:
        yield from _leaking(train, valid)
        yield from check_prepared(train[0], valid[0], draws(patient.train))
    if len(train) > 1 and len(train[0]) == len(train[-1]):
        yield from _sorted(patient, _labels(patient) if patient.train.loader is not None else train[-1], task)
        if len(valid) > 1:
            yield from _unseen_classes(train[-1], valid[-1], task)
        yield from _given_away(train[0], train[-1], task)
        yield from _wiped(train[0], train[-1], task)
    elif len(train) > 1 and patient.train.loader is not None:  # such as texts laid end to end, and where each begins
        yield from _sorted(patient, _labels(patient), task)


@torch.no_grad()
def _fills_in(patient: Patient, parts: tuple[Tensor, ...]) -> bool:
    """Whether the network answers rows with missing values by finite numbers."""
    bad = torch.zeros(len(parts[0]), dtype=torch.bool) if parts and parts[0].ndim else torch.zeros(0)
    for part in parts[:-1] if len(parts) > 1 else parts:
        if part.is_floating_point() and len(part) == len(bad):
            bad |= ~torch.isfinite(part).reshape(len(part), -1).all(1)
    if not bool(bad.any()):
        return False
    patient.network.eval()
    try:
        output = patient.forward(tuple(part[bad][:100] for part in parts))
    except Exception:  # it cannot be asked so
        return False
    return isinstance(output, Tensor) and bool(torch.isfinite(output).all())


def _passes_over(patient: Patient, parts: tuple[Tensor, ...]) -> bool:
    """Whether the loss of rows with missing values, and its gradients, are finite: they are masked."""
    if not parts or not all(part.ndim for part in parts) or (patient.loss is None and patient.objective is None):
        return False
    bad = torch.zeros(len(parts[0]), dtype=torch.bool)
    for part in parts:
        if part.is_floating_point() and len(part) == len(bad):
            bad |= ~torch.isfinite(part).reshape(len(part), -1).all(1)
    if not bool(bad.any()):
        return False
    patient.network.eval()
    free = [p for p in patient.network.parameters() if p.requires_grad]
    try:
        loss = patient.measure(tuple(part[bad][:100] for part in parts))
        found = torch.autograd.grad(loss, free, allow_unused=True)
    except Exception:  # it cannot be asked so
        return False
    return bool(torch.isfinite(loss)) and all(g is None or bool(torch.isfinite(g).all()) for g in found)


def _non_finite(parts: tuple[Tensor, ...], name: str, borne: bool) -> Iterator[Finding]:
    """Find NaN and infinity; in the inputs of a network that fills them in they are no fault."""
    for k, part in enumerate(parts):
        if part.is_floating_point() and not bool(torch.isfinite(part).all()):
            bad = int((~torch.isfinite(part)).reshape(len(part), -1).any(1).sum())
            what = "targets" if k == len(parts) - 1 and k else "inputs"
            sure = 0.4 if borne else 0.99
            yield Finding("non_finite_data", f"{name} {what}", f"{bad} of {len(part)} rows hold NaN or infinity", sure)


def _constant(inputs: Tensor) -> Iterator[Finding]:
    flat = inputs.reshape(len(inputs), -1)
    if bool((flat == flat[:1]).all()):
        yield Finding("constant_inputs", "train inputs", f"all {len(flat)} rows looked at are equal", 0.99)
        return
    if flat.is_floating_point() and flat.shape[1] > 1:
        spread, size = float(flat.std(0).mean()), float(flat.abs().mean())
        if size > 0 and spread < 1e-5 * size:
            seen = f"rows differ by {spread:.2g} on average, at a size of {size:.2g}"
            yield Finding("constant_inputs", "train inputs", seen, 0.9)
    if inputs.ndim == 4 and inputs.is_floating_point():
        values, counts = inputs[:200].unique(return_counts=True)
        share = float(counts.max() / counts.sum())
        if share > 0.97 and len(values) <= 3:
            seen = f"{share:.1%} of all pixels are {float(values[counts.argmax()]):.3g}; {len(values)} values occur"
            blank = _blank(flat, values[counts.argmax()])
            seen += f", and {blank:.0%} of the pictures hold next to nothing else" if blank > 0.3 else ""
            yield Finding("constant_inputs", "train inputs", seen, 0.85 if blank > 0.3 else 0.48)


def _blank(flat: Tensor, background: Tensor) -> float:
    """Return the share of rows that hold next to nothing beside one value."""
    return float(((flat[:200] != background).double().mean(1) < 0.003).double().mean())


def _wiped(inputs: Tensor, target: Tensor, task: Task) -> Iterator[Finding]:
    """Find flattened pictures of which so little is left that rows of several classes are equal."""
    flat = inputs.reshape(len(inputs), -1)
    if task.kind != "classes" or inputs.ndim != 2 or not inputs.is_floating_point() or flat.shape[1] < 100:
        return
    values, counts = flat[:200].unique(return_counts=True)
    if len(values) > 3 or float(counts.max() / counts.sum()) < 0.97 or target.numel() != len(flat):
        return
    labels: dict[str, set[float]] = {}
    keys = _keys(flat)
    for key, label in zip(keys, target.reshape(-1).tolist(), strict=True):
        labels.setdefault(key, set()).add(label)
    alike = sum(len(labels[key]) > 1 for key in keys) / len(keys)
    if alike > 0.1 and _blank(flat, values[counts.argmax()]) > 0.3:
        seen = f"{float(counts.max() / counts.sum()):.1%} of all numbers are {float(values[counts.argmax()]):.3g}"
        yield Finding(
            "constant_inputs", "train inputs", f"{seen}; {alike:.0%} of the rows equal one of another class", 0.85
        )


def _keys(inputs: Tensor) -> list[str]:
    array = np.ascontiguousarray(inputs.detach().cpu().numpy())
    return [hashlib.blake2b(row.tobytes(), digest_size=12).hexdigest() for row in array]


def _leaking(train: tuple[Tensor, ...], valid: tuple[Tensor, ...]) -> Iterator[Finding]:
    """Rows of validation that training has too, more of them than training repeats itself."""
    if train[0].shape[1:] != valid[0].shape[1:] or train[0].dtype != valid[0].dtype:
        return
    if train[0][0].numel() < 4:  # few numbers repeat by chance
        return
    ours, theirs = inputs = _keys(train[0]), _keys(valid[0])
    if len(train) > 1 and len(valid) == len(train) and train[-1].shape[1:] == valid[-1].shape[1:]:
        ours, theirs = (
            [a + b for a, b in zip(k, _keys(p[-1]), strict=True)] for k, p in ((ours, train), (theirs, valid))
        )
    known = set(ours)
    shared = sum(key in known for key in theirs) / len(theirs)
    repeated = 1 - len(known) / len(ours)
    if shared > 0.05 and _continuous(train[0]):
        seen = f"{shared:.0%} of the validation rows are training rows, though their numbers hardly ever repeat"
        yield Finding("leaking_rows", "train and valid", seen, 0.95 if shared > 0.2 else 0.48)
    elif shared > 0.3 and _never_by_chance(train[0]):
        seen = f"{shared:.0%} of the validation rows are training rows, though no two rows are equal by chance"
        yield Finding("leaking_rows", "train and valid", seen, 0.92)
    elif shared > 0.05 and shared > 3 * repeated + 0.05:
        seen = f"{shared:.0%} of the validation rows are training rows ({repeated:.0%} of training rows are repeated)"
        yield Finding("leaking_rows", "train and valid", seen, 0.95 if shared > 0.15 else 0.7)
    elif shared < 0.02 and set(inputs[0]).isdisjoint(inputs[1]):
        yield from _overlapping(train[0], valid[0])
        yield from _near_copies(train[0], valid[0])


def _never_by_chance(inputs: Tensor) -> bool:
    """Whether rows have so many places with several values that two rows are equal only as copies of one."""
    flat = inputs[:500].reshape(min(500, len(inputs)), -1)
    flat = flat[:, :: -(-flat.shape[1] // 500)]
    alike = torch.stack([(flat == flat.roll(k, 0)).double().mean(0) for k in (1, 7, 31)]).mean(0)
    return float(-alike.clamp(1e-3, 1).log().sum()) > 25


def _overlapping(train: Tensor, valid: Tensor) -> Iterator[Finding]:
    """Find windows of one series on both sides: validation windows that are training windows, moved by a place."""
    length = train.shape[1] if train.ndim in (2, 3) else 0
    if length < 8:
        return
    for shift in (1, 2, 3):
        ends, starts = ({*_keys(t[:, shift:])} for t in (train, valid))
        kept, known = _keys(valid[:, :-shift]), _keys(valid[:, shift:])
        before = {*_keys(train[:, :-shift])}
        if len(starts) < 0.8 * len(valid) or len(before) < 0.8 * len(train):
            return  # rows that repeat themselves
        share = sum(a in ends or b in before for a, b in zip(kept, known, strict=True)) / len(kept)
        later = sum(b in before for b in known) / len(known)  # windows of training that end after they do
        if share > 0.4 and later > 0.1:
            seen = f"{share:.0%} of the validation windows are training windows but for {shift} of {length} places"
            yield Finding("leaking_rows", "train and valid", f"{seen}: cut the series by time first", 0.92)
            return


def _continuous(inputs: Tensor) -> bool:
    """Whether rows hold measured numbers, of which two rows are equal only as copies of one."""
    if not inputs.is_floating_point() or inputs.ndim != 2:
        return False
    rows = inputs[:1000].unique(dim=0)
    columns = [len(rows[:, k].unique()) / len(rows) for k in range(min(rows.shape[1], 200))]
    return sum(share > 0.8 for share in columns) >= 3


def _near_copies(train: Tensor, valid: Tensor) -> Iterator[Finding]:
    """Find validation rows that lie next to a training row: noisy copies of one row on both sides."""
    if not train.is_floating_point() or train.ndim != 2 or train.shape[1] < 5:
        return
    a, b = train[:2000].double(), valid[:400].double()
    moving = a.std(0) > 1e-9
    a, b = ((t - a.mean(0))[:, moving] / a.std(0)[moving] for t in (a, b))
    if a.shape[1] < 5 or not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return
    gaps = torch.cdist(b, a)
    usual, nearest = float(gaps.median()), gaps.min(1).values.clamp_min(1e-12)
    second = gaps.topk(min(8, len(a)), 1, largest=False).values[:, -1]
    near = (nearest < 0.06 * usual) & (nearest < 0.25 * second)
    share = float(near.double().mean())
    if share > 0.3:
        seen = f"{share:.0%} of the validation rows lie {usual / float(nearest[near].median()):.0f} times nearer to a "
        yield Finding("leaking_rows", "train and valid", seen + "training row than rows usually lie", 0.6)


def _scrambled(inputs: Tensor) -> Iterator[Finding]:
    """Pictures or series whose memory, read with channels last, is smoother than as it is read now."""
    if inputs.is_floating_point() and inputs.ndim == 3 and min(inputs.shape[1:]) > 1:
        yield from _scrambled_series(inputs)
    if not inputs.is_floating_point() or inputs.ndim != 4:
        return
    _, c, h, w = inputs.shape
    if min(h, w) < 6 or c > 8:
        return
    x = inputs[:256].double()
    views = {"as given": x}
    if c > 1:
        views["read with channels last"] = x.reshape(len(x), h, w, c).permute(0, 3, 1, 2)
    if h != w:
        views["height and width exchanged"] = x.reshape(len(x), c, w, h)
    rough = {name: _roughness(view) for name, view in views.items()}
    best = min(rough, key=lambda name: rough[name])
    if best != "as given" and rough[best] < 0.5 * rough["as given"]:
        seen = f"neighbouring pixels differ {rough['as given'] / rough[best]:.1f} times as much as {best}"
        yield Finding("scrambled_inputs", "train inputs", seen, 0.9)


def _scrambled_series(inputs: Tensor) -> Iterator[Finding]:
    """Find series (rows, channels, time) whose memory is smooth only if time is read before channels."""
    n, first, second = inputs.shape
    x = inputs[:256].double()
    if second < 8 or first > 64 or not bool(torch.isfinite(x).all()):
        return

    def rough(view: Tensor) -> float:  # along the last axis, each channel by its own spread
        spread = view.std((0, 2), keepdim=True).clamp_min(1e-12)
        return float(((view[..., 1:] - view[..., :-1]) / spread).pow(2).mean())

    given, along = rough(x), rough(x.transpose(1, 2))
    other = rough(x.reshape(len(x), second, first).transpose(1, 2))
    if other < 0.3 * given and other < 0.5 * along and given > 0.5:
        seen = f"neighbours along the last axis differ {(given / other) ** 0.5:.1f} times as much as if the memory is "
        yield Finding("scrambled_inputs", "train inputs", f"{seen}read as ({n}, {second}, {first})", 0.9)


def _rows_standardized(inputs: Tensor) -> Iterator[Finding]:
    """Find a table whose rows have mean 0 and spread 1 each, where its columns should."""
    if inputs.ndim != 2 or not inputs.is_floating_point() or inputs.shape[1] < 4:
        return
    x = inputs.double()
    if not bool(torch.isfinite(x).all()):
        return
    rows = float(((x.mean(1).abs() < 1e-4) & ((x.std(1) - 1).abs() < 0.15)).double().mean())
    columns = float(((x.mean(0).abs() < 0.2) & ((x.std(0) - 1).abs() < 0.3)).double().mean())
    if rows < 0.95 or columns > 0.5:
        return
    means = x.mean(0)
    smooth = float(torch.corrcoef(torch.stack([means[1:], means[:-1]]))[0, 1])  # pixels and spectra go on
    if smooth < 0.85:
        seen = f"each row has mean 0 and spread 1, columns have means from {float(x.mean(0).min()):.2f} to "
        yield Finding("wrong_axis", "train inputs", seen + f"{float(x.mean(0).max()):.2f}", 0.48)


def _stands_for_missing(inputs: Tensor) -> Iterator[Finding]:
    """Find a number far outside a column that many rows have exactly, as -9999 for what was not measured."""
    if inputs.ndim != 2 or not inputs.is_floating_point() or len(inputs) < 100 or inputs.shape[1] > 300:
        return
    for k, column in enumerate(inputs.double().T):
        values, counts = column.unique(return_counts=True)
        if len(values) < 30 or not bool(torch.isfinite(column).all()):
            continue
        for at in (0, -1):
            share, rest = float(counts[at] / len(column)), values[1:] if at == 0 else values[:-1]
            gap = float((rest - values[at]).abs().min()) / max(float(rest.max() - rest.min()), 1e-12)
            if 0.01 <= share <= 0.4 and gap > 2:
                seen = (
                    f"{share:.0%} of the rows have exactly {float(values[at]):.4g}, {gap:.0f} times the others' range "
                )
                yield Finding("unnormalized_inputs", f"column {k} of the inputs", f"{seen}away: a mark?", 0.48)
                return


def _roughness(x: Tensor) -> float:
    down, across = (x[..., 1:, :] - x[..., :-1, :]), (x[..., 1:] - x[..., :-1])
    spread = float(x.var())
    return (float((down**2).mean()) + float((across**2).mean())) / max(spread, 1e-12)


def _labels(patient: Patient) -> Tensor:
    """Return the targets of an epoch of a loader, as they come; up to as many as are looked at elsewhere."""
    found: list[Tensor] = []
    for batch in patient.train.batches():
        parts = parts_of(batch)
        if not parts or parts[-1].ndim != 1 or sum(map(len, found)) >= ROWS:
            break
        found.append(parts[-1])
    return torch.cat(found)[:ROWS] if found else torch.zeros(0)


def _sorted(patient: Patient, target: Tensor, task: Task) -> Iterator[Finding]:
    """Rows that come in the order of their labels, in which a loop that does not shuffle would see them."""
    if task.sequence or target.ndim != 1 or len(target) < 20:
        return
    values = target.double()
    if len(values.unique()) > 50 or len(values.unique()) < 2:
        return
    changes, expected = turns(values)
    if changes > 0.1 * expected * (len(values) - 1):
        return
    seen = f"the label changes {changes} times in {len(values)} rows; about {expected * (len(values) - 1):.0f} expected"
    loads = patient.train.loader is not None
    again = _labels(patient) if loads else target
    if torch.equal(again, target) and not (loads and _spread_out(patient, values)):
        yield Finding("label_order", "train", seen, 0.9 if loads else 0.4)


def _spread_out(patient: Patient, values: Tensor) -> bool:
    """Whether the batches of a loader have nearly the labels' shares of the whole, in whatever order inside."""
    kinds = values.unique()
    whole = torch.stack([(values == kind).double().mean() for kind in kinds])
    gaps = []
    for batch in islice(patient.train.batches(), 10):
        found = parts_of(batch)[-1].double().reshape(-1)
        gaps.append(0.5 * float((torch.stack([(found == kind).double().mean() for kind in kinds]) - whole).abs().sum()))
    return sum(gaps) / max(1, len(gaps)) < 0.35


def _unseen_classes(target: Tensor, other: Tensor, task: Task) -> Iterator[Finding]:
    """Find classes in validation that training has none of: rows were sorted by class when they were cut."""
    if task.kind not in ("classes", "binary") or task.sequence or target.ndim > 2 or other.ndim > 2:
        return
    if target.numel() != len(target) or len(target) < 50:
        return
    ours, theirs = target.reshape(-1), other.reshape(-1)
    known = torch.isin(theirs, ours)
    share = float((~known).double().mean())
    if share < 0.1 or len(ours.unique()) > 100:
        return
    missing = theirs[~known].unique().tolist()
    seen = f"{share:.0%} of the validation rows have a class that training has none of ({missing[:4]})"
    shifted = len(theirs.unique()) == len(ours.unique())  # as many classes, numbered otherwise
    yield Finding("wrong_target_coding" if shifted else "label_order", "train and valid", seen, 0.94)


def _given_away(inputs: Tensor, target: Tensor, task: Task) -> Iterator[Finding]:
    """One column of a table that is the target, or orders the rows as it does."""
    yield from _equal_column(inputs, target, task)
    if inputs.ndim != 2 or not inputs.is_floating_point() or inputs.shape[1] < 2 or task.sequence:
        return
    x, y = inputs.double().numpy(), target.double().reshape(len(target), -1).numpy()
    if y.shape[1] != 1 or len(x) < 20:
        return
    values = np.unique(y)
    for k in range(x.shape[1]):
        found = _tells(x[:, k], y[:, 0], values)
        if found and not (len(values) > 10 and _goes_on(x, k, y[:, 0])):
            yield Finding("target_in_inputs", f"column {k} of the inputs", found, 0.9)
            return
    pair = _product(x, y[:, 0]) if len(values) > 10 and x.shape[1] <= 40 else None
    if pair is not None:
        seen = "their product, but for a factor and an offset of each, is the target in every row"
        yield Finding("target_in_inputs", f"columns {pair[0]} and {pair[1]} of the inputs", seen, 0.93)
        return
    rest = _left_over(x, y[:, 0]) if len(values) > 10 else 1.0
    if rest < 1e-3:
        seen = f"a sum of the columns gives the target of other rows, but for {rest:.0e} of its spread"
        yield Finding("target_in_inputs", "train inputs", seen, 0.9)


def _equal_column(inputs: Tensor, target: Tensor, task: Task) -> Iterator[Finding]:
    """Find a number of the inputs, as of a window, that is the target in every row, but for its scale."""
    if inputs.ndim < 2 or not inputs.is_floating_point() or task.kind != "numbers" or inputs[0].numel() > 2000:
        return
    x, y = inputs.double().reshape(len(inputs), -1), target.double().reshape(len(target), -1)
    if y.shape[1] != 1 or len(y) < 20 or len(y.unique()) <= 10:
        return
    x, y = x - x.mean(0), y - y.mean(0)
    size = (x.pow(2).sum(0) * y.pow(2).sum()).sqrt()
    alike = torch.where(size > 0, (x * y).sum(0) / size.clamp_min(1e-300), torch.zeros_like(size))
    k = int(alike.argmax())
    if float(alike[k]) > 1 - 1e-9:
        place = f"column {k} of the inputs" if inputs.ndim == 2 else f"number {k} of each row's {x.shape[1]}"
        yield Finding("target_in_inputs", place, "it is the target itself, in every row", 0.95)


def _goes_on(x: np.ndarray, k: int, y: np.ndarray) -> bool:
    """Whether a column is as near to another column as to the target: values of a slow series, one after the other."""
    moving = [j for j in range(x.shape[1]) if j != k and x[:, j].std() > 0]
    near = max((abs(float(np.corrcoef(x[:, j], x[:, k])[0, 1])) for j in moving), default=0.0)
    return near > 0.9 and 1 - near < 5 * (1 - abs(float(np.corrcoef(x[:, k], y)[0, 1])))


def _product(x: np.ndarray, y: np.ndarray) -> tuple[int, int] | None:
    """Return two columns of which the target is a product, whatever each was scaled by; None where there are none."""
    rows = np.random.default_rng(0).permutation(len(x))[:400]
    x, y = x[rows], y[rows] - y[rows].mean()
    many = [k for k in range(x.shape[1]) if len(np.unique(x[:, k])) > 10]
    if not np.isfinite(x).all() or y.std() == 0 or len(x) < 40:
        return None
    for place, i in enumerate(many):
        for j in many[place + 1 :]:
            table = np.column_stack([np.ones(len(x)), x[:, i], x[:, j], x[:, i] * x[:, j]])
            rest = y - table @ np.linalg.lstsq(table, y, rcond=None)[0]
            if float(rest.std()) < 1e-3 * float(y.std()):
                return i, j
    return None


def _left_over(x: np.ndarray, y: np.ndarray) -> float:
    """Return what a linear model of half of the rows leaves of the other targets, as a share of their spread."""
    half = len(x) // 2
    if half < 3 * x.shape[1] or not (np.isfinite(x).all() and np.isfinite(y).all()) or y[half:].std() == 0:
        return 1.0
    whole = np.column_stack([x, np.ones(len(x))])
    weights = np.linalg.lstsq(whole[:half], y[:half], rcond=None)[0]
    return float(np.sqrt(np.mean((whole[half:] @ weights - y[half:]) ** 2)) / y[half:].std())


def _tells(column: np.ndarray, y: np.ndarray, values: np.ndarray) -> str:
    if column.std() == 0:
        return ""
    if len(values) > 10:
        correlation = abs(float(np.corrcoef(column, y)[0, 1]))
        return f"its correlation with the target is {correlation:.4f}" if correlation > 0.998 else ""
    if len(values) < 2:
        return ""
    spans = sorted((column[y == v].min(), column[y == v].max()) for v in values)
    apart = all(spans[i][1] < spans[i + 1][0] for i in range(len(spans) - 1))
    inner = max((high - low for low, high in spans), default=0.0)
    between = min((spans[i + 1][0] - spans[i][1] for i in range(len(spans) - 1)), default=0.0)
    # real measurements may separate classes, but rarely leave a gap as wide as the classes themselves
    return "alone it separates all classes, with a wide gap" if apart and between > inner else ""


def describe(parts: tuple[Tensor, ...]) -> list[dict[str, Any]]:
    """Return shape, type and range of each part, for the page."""
    return [
        {"shape": list(p.shape), "type": str(p.dtype)[6:], "low": float(p.min()), "high": float(p.max())}
        for p in parts
        if p.numel()
    ]  # fmt: skip
