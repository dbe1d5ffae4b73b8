"""Stage one, goes on: what belongs together. Pairs called alike are alike; a mask lies on its picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus.practice.doctor.findings import Finding, as_far_as_they_go
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.weights import put_back, redraw

__all__ = ["check_pairs"]

ROWS = 1000
WINDOW = 5


def check_pairs(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield pairs whose labels the loss reads the wrong way round, and masks that are turned away from pictures."""
    yield from as_far_as_they_go([lambda: _reversed(patient, batch), lambda: _turned(patient)])


# -- pairs -----------------------------------------------------------------------------------------------------------


def _sides(batch: Any) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor, Tensor], Any]] | None:
    """Return the two sides of pairs, their labels, and what makes a batch of other second sides and labels."""
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3) or not isinstance(batch[-1], Tensor):
        return None
    label = batch[-1]
    if len(batch) == 3 and all(isinstance(part, Tensor) for part in batch[:2]):
        one, other = batch[:2]
        made: Callable[[Tensor, Tensor], Any] = lambda second, labels: (one, second, labels)  # noqa: E731
    elif isinstance(batch[0], tuple | list) and len(batch[0]) == 2:
        one, other = batch[0]
        made = lambda second, labels: (type(batch[0])((one, second)), labels)  # noqa: E731
    elif len(batch) == 2 and isinstance(batch[0], Tensor) and batch[0].ndim > 2 and batch[0].shape[1] == 2:
        one, other = batch[0][:, 0], batch[0][:, 1]
        made = lambda second, labels: (torch.stack([one, second], 1), labels)  # noqa: E731
    else:
        return None
    if one.shape != other.shape or one.ndim < 2 or label.numel() != len(one) or len(label.unique()) != 2:
        return None
    return one, other, label, made


def _reversed(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find pairs whose label the loss takes for alike, and whose sides lie further apart than the others'."""
    if patient.loss is None and patient.objective is None:
        return
    found = _sides(batch)
    if found is None:
        return
    one, _, label, made = found
    values = label.unique().tolist()
    alike = set()
    patient.network.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad(), put_back(patient.network.parameters()):
        for scale in (0.0, 1.0, 2.0):
            if scale:
                redraw(patient.network, scale, generator)
            costs = []
            for value in values:
                torch.manual_seed(0)
                costs.append(float(patient.measure(made(one, torch.full_like(label, value)))))
            low, high = sorted(costs)
            if not (math.isfinite(high) and high > 1e-6 and low < 0.2 * high):
                return  # what equal sides cost depends on the weights: alike has no label of its own
            alike.add(values[costs.index(low)])
    if len(alike) != 1:
        return
    called = alike.pop()
    apart: dict[bool, list[Tensor]] = {True: [], False: []}
    for k, some in enumerate(patient.train.batches(torch.Generator().manual_seed(0))):
        sides = _sides(some)
        if sides is not None:
            gaps = _gaps(sides[0], sides[1])
            same = sides[2].reshape(-1) == called
            apart[True].append(gaps[same])
            apart[False].append(gaps[~same])
        if k * len(label) > 3 * ROWS:
            break
    near, far = (torch.cat(apart[key]) for key in (True, False))
    if min(len(near), len(far)) < 20:
        return
    spread = math.sqrt(float(near.var()) / len(near) + float(far.var()) / len(far))
    if float(near.mean() - far.mean()) > 6 * spread:
        seen = (
            f"the loss reads {called:g} as alike, and pairs with that label lie {float(near.mean()):.3g} apart on "
            f"average, the others {float(far.mean()):.3g}"
        )
        yield Finding("wrong_target_coding", "targets", f"{seen}: alike and different are exchanged", 0.93)


def _gaps(one: Tensor, other: Tensor) -> Tensor:
    if one.is_floating_point():
        return (one.double() - other.double()).reshape(len(one), -1).norm(dim=1)
    return (one != other).reshape(len(one), -1).double().mean(1)


# -- masks -----------------------------------------------------------------------------------------------------------

TURNS: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda m: m,
    "mirrored": lambda m: m.flip(2),
    "upside down": lambda m: m.flip(1),
    "turned by half": lambda m: m.flip(1).flip(2),
    "turned by a quarter": lambda m: m.rot90(1, (1, 2)),
    "turned by three quarters": lambda m: m.rot90(3, (1, 2)),
    "transposed": lambda m: m.transpose(1, 2),
}


def _masks(source: Any) -> tuple[Tensor, Tensor] | None:
    """Return pictures and their masks of two values, as (rows, channels, height, width) and (rows, height, width)."""
    parts = source.rows(200)
    if len(parts) != 2 or parts[0].ndim != 4 or not parts[0].is_floating_point():
        return None
    x, mask = parts
    mask = mask[:, 0] if mask.ndim == 4 and mask.shape[1] == 1 else mask
    if mask.ndim != 3 or mask.shape[1:] != x.shape[2:] or min(x.shape[2:]) < 8 or mask.numel() > 4_000_000:
        return None
    values = mask.double().unique()
    if not 2 <= len(values) <= 10:
        return None
    return x.float(), mask.double() == mask.double().flatten().mode().values


def _turned(patient: Patient) -> Iterator[Finding]:
    """Find training masks that fit their pictures better if they are turned, by what validation pixels teach."""
    if patient.valid is None:
        return
    ours, theirs = _masks(patient.train), _masks(patient.valid)
    if ours is None or theirs is None or len(theirs[0]) < 20 or len(ours[0]) < 20:
        return
    x = _pixels(theirs[0])
    model = _taught(x, theirs[1])
    usual, moved_share = _lying(torch.from_numpy(model.decision_function(_pixels(ours[0]))), ours[1])
    inner, by_chance = _lying(torch.from_numpy(model.decision_function(x)), theirs[1])
    worse = 0.6 if by_chance > 0.05 else 0.9  # where validation masks fit best as they lie, little says a lot
    if float(inner.mean()) > 0.2 and float(usual.mean()) < worse * float(inner.mean()) and moved_share > 0.25:
        seen = (
            f"{moved_share:.0%} of the training masks fit their pictures better if they are turned or mirrored: "
            f"pixels tell the mask with {float(usual.mean()):.2f} as it lies (correlation), "
            f"{float(inner.mean()):.2f} in validation rows"
        )
        yield Finding("shuffled_pairs", "train", f"{seen}: pictures are turned without them", 0.9)
        return
    yield from _all_turned(*ours)


def _lying(scores: Tensor, masks: Tensor) -> tuple[Tensor, float]:
    """Return how well each mask fits its scores as it lies, and the share that clearly fit better if turned."""
    scores = scores.reshape(masks.shape)
    fits = {name: _fit(scores, turn(masks)) for name, turn in TURNS.items() if turn(masks).shape == masks.shape}
    usual = fits.pop("as they are")
    return usual, float((torch.stack([*fits.values()]).amax(0) > usual + 0.1).double().mean())


def _all_turned(pictures: Tensor, masks: Tensor) -> Iterator[Finding]:
    """Find masks that lie on their pictures only if all of them are turned alike."""
    half, found = len(masks) // 2, {}
    x = _pixels(pictures)
    cut = half * masks[0].numel()
    for name, turn in TURNS.items():
        moved = turn(masks)
        if moved.shape == masks.shape:
            scores = _taught(x[:cut], moved[:half]).decision_function(x[cut:])
            found[name] = float(_fit(torch.from_numpy(scores).reshape(masks[half:].shape), moved[half:]).mean())
    best = max(found, key=lambda name: found[name])
    if found[best] > 0.25 and found["as they are"] < 0.7 * found[best]:
        seen = f"pixels tell the masks with {found['as they are']:.2f} (correlation), and {best} with {found[best]:.2f}"
        yield Finding("shuffled_pairs", "train", f"{seen}: pictures and masks lie otherwise", 0.85)


def _taught(x: np.ndarray, masks: Tensor) -> Any:
    """Return a linear model that tells a mask's pixels."""
    from sklearn.linear_model import RidgeClassifier

    y = masks.reshape(-1).numpy()
    chosen = np.random.default_rng(0).permutation(len(y))[:20000]
    return RidgeClassifier(class_weight="balanced").fit(x[chosen], y[chosen])


def _fit(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the correlation of scores and mask in each picture."""
    a, b = scores.double().flatten(1), mask.double().flatten(1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    size = (a.pow(2).sum(1) * b.pow(2).sum(1)).sqrt()
    return torch.where(size > 1e-12, (a * b).sum(1) / size.clamp_min(1e-12), torch.zeros_like(size))


def _pixels(x: Tensor) -> np.ndarray:
    """Return a row a pixel: its own values, the mean and the spread around it."""
    pool = nn.AvgPool2d(WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
    mean = pool(x)
    spread = (pool(x**2) - mean**2).clamp_min(0).sqrt()
    wide = nn.functional.avg_pool2d(x, 2 * WINDOW + 1, 1, WINDOW, count_include_pad=False)
    features = torch.cat([x, mean, spread, wide], 1)
    return features.movedim(1, -1).reshape(-1, features.shape[1]).numpy()
