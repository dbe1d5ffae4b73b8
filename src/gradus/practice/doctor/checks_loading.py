"""Stage one, goes on: how rows are fetched. Fetching a row must not change the rows that are kept."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, WeightedRandomSampler

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient, Source, parts_of

__all__ = ["check_loading", "draws"]

LOOKED = 12


def check_loading(patient: Patient) -> Iterator[Finding]:
    """Yield loaders whose rows are others each time they are fetched, though every draw is the same."""
    for source in (patient.train, patient.valid):
        found = None if source is None else _fetched_twice(source)
        if source is not None and found:
            yield Finding("shared_state", f"{source.name} loader", found, 0.93)
            return
        found = None if source is None else _made_rarer(source)
        if source is not None and found:
            yield Finding("label_imbalance", f"{source.name} loader", f"{found}: weights are the wrong way round", 0.9)
            return
        found = None if source is None else _parted(source)
        if source is not None and found:
            yield Finding("shuffled_pairs", f"{source.name} loader", found, 0.95)
            return


def _fetched_twice(source: Source) -> str:
    held = getattr(source.loader, "dataset", None)
    if not isinstance(held, Dataset) or isinstance(held, IterableDataset) or not hasattr(held, "__len__"):
        return ""
    count = min(LOOKED, len(held))
    places = [k * len(held) // count for k in range(count)] if count else []
    before = _kept(held)
    first = [_fetch(held, k) for k in places]
    for k in places:
        _fetch(held, k, seed=1)  # what is written under one draw may be written again under the same
    second = [_fetch(held, k) for k in places]
    changed = [name for name, value in _kept(held).items() if name in before and before[name] != value]
    other = sum(not _equal(a, b) for a, b in zip(first, second, strict=True))
    if not changed or other < 0.8 * count:
        return ""
    sizes = [float(rows[0][0].double().abs().mean()) for rows in (first, second) if rows[0]]
    moved = f" (mean size {sizes[0]:.3g}, then {sizes[1]:.3g})" if len(sizes) == 2 else ""
    return f"fetching a row changes {changed[0]} in place: {other} of {count} rows are others the second time{moved}"


def _made_rarer(source: Source) -> str:
    """Return how a sampler makes a rare class rarer than it is among the rows; empty where it does not."""
    held, sampler = getattr(source.loader, "dataset", None), getattr(source.loader, "sampler", None)
    if not isinstance(sampler, WeightedRandomSampler) or not isinstance(held, Dataset) or not hasattr(held, "__len__"):
        return ""
    rows = min(len(held), 4000)
    targets = [parts_of(held[k * len(held) // rows])[-1] for k in range(rows)]
    if any(t.numel() != 1 for t in targets):
        return ""
    kinds, counts = torch.stack([t.reshape(()) for t in targets]).unique(return_counts=True)
    drawn = source.rows(2000)[-1].reshape(-1)
    if not 2 <= len(kinds) <= 50 or int(counts.max()) < 1.5 * int(counts.min()):
        return ""
    rare = int(counts.argmin())
    there, seen = float(counts[rare]) / rows, float((drawn == kinds[rare]).double().mean())
    if seen > 0.7 * there:
        return ""
    return f"class {float(kinds[rare]):g} makes {there:.1%} of the rows, and {seen:.1%} of what the sampler draws"


def _parted(source: Source) -> str:
    """Return how a loader pairs rows and targets otherwise in a batch than one by one; empty where it does not."""
    loader, held = source.loader, getattr(source.loader, "dataset", None)
    collate = getattr(loader, "collate_fn", None)
    if not isinstance(held, Dataset) or isinstance(held, IterableDataset) or not hasattr(held, "__len__"):
        return ""
    if collate is None or len(held) < LOOKED or draws(source):
        return ""
    items = [held[k * len(held) // LOOKED] for k in range(LOOKED)]
    single = [tuple(parts_of(collate([item]))) for item in items]
    whole = tuple(parts_of(collate(items)))
    if not _equal(whole, tuple(parts_of(collate(items)))):
        return ""
    if any(len(one) != len(whole) or any(len(p) != 1 for p in one) for one in single) or len(whole) < 2:
        return ""
    if any(len(p) != LOOKED for p in whole) or any(p[-1].numel() != 1 for p in single):
        return ""
    apart = {(_key(one[0][0]), float(one[-1])) for one in single}
    joined = [(_key(row), float(target)) for row, target in zip(whole[0], whole[-1], strict=True)]
    known = {key for key, _ in apart}
    if len(known) < LOOKED or any(key not in known for key, _ in joined) or len({t for _, t in apart}) < 2:
        return ""
    wrong = sum(pair not in apart for pair in joined)
    return f"of {LOOKED} rows {wrong} have another target in a batch than alone" if wrong else ""


def _key(row: Tensor) -> bytes:
    """Return a row without its padding, as a key."""
    flat = row.detach()
    kept = (flat.reshape(len(flat), -1) != 0).any(1).nonzero() if flat.ndim else flat
    return flat[: int(kept[-1]) + 1 if len(kept) else 0].contiguous().numpy().tobytes() if flat.ndim else bytes(flat)


def draws(source: Source) -> float:
    """Return how far a row of a loader's dataset lies from itself under other draws, as a share of its spread."""
    held = getattr(source.loader, "dataset", None)
    if not isinstance(held, Dataset) or isinstance(held, IterableDataset) or not hasattr(held, "__len__"):
        return 0.0
    try:
        pairs = [(_fetch(held, k), _fetch(held, k, seed=k + 1)) for k in range(min(4, len(held)))]
        return max((_apart(a[0].double(), b[0].double()) for a, b in pairs if not _equal(a, b)), default=0.0)
    except Exception:  # rows that are not tensors
        return 0.0


def _apart(a: Tensor, b: Tensor) -> float:
    """Return the mean distance of two rows, in spreads of the first; one where that can not be said, or is none."""
    far = float((a - b).abs().mean() / a.std().clamp_min(1e-12)) if a.shape == b.shape and a.numel() > 1 else 1.0
    return far if far > 0 else 1.0  # what differs is the target


def _fetch(held: Any, index: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Return a copy of one row, under the same draws each time."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the user's dataset may draw from it
    return tuple(part.detach().clone() for part in parts_of(held[index]))


def _equal(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return len(a) == len(b) and all(
        p.shape == q.shape and torch.equal(p.nan_to_num(), q.nan_to_num()) for p, q in zip(a, b, strict=True)
    )


def _kept(held: Any) -> dict[str, float]:
    """Return a number for each array or tensor that a dataset keeps, and those inside it, by name."""
    found: dict[str, float] = {}
    waiting: list[tuple[str, Any]] = [("", held)]
    while waiting and len(found) < 50:
        name, owner = waiting.pop()
        for key, value in [*getattr(owner, "__dict__", {}).items()]:
            place = f"{name}.{key}".lstrip(".")
            if isinstance(owner, Subset | ConcatDataset) and key in ("dataset", "datasets"):
                inner = value if isinstance(value, list) else [value]
                waiting += [(place, one) for one in inner]
                continue
            if isinstance(value, Dataset):
                waiting.append((place, value))
            for k, part in enumerate(value[:8] if isinstance(value, list | tuple) else (value,)):
                if isinstance(part, np.ndarray) and part.dtype.kind in "fiu":
                    found[f"{place}[{k}]" if part is not value else place] = float(np.nansum(part.astype(np.float64)))
                elif isinstance(part, Tensor) and part.numel():
                    found[f"{place}[{k}]" if part is not value else place] = float(part.double().nansum())
    return found
