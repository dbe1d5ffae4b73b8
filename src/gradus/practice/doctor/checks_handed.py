"""Stage three, goes on: what a network is handed by the user's own step, and by the user's own evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient, numbers_of

__all__ = ["check_handed", "prepares"]

Map = Callable[[Tensor], Tensor]


def prepares(patient: Patient, batch: Any) -> bool:
    """Whether the user's own step makes the network's inputs from a batch's, and the same ones each time."""
    first = _by_step(patient, batch, seed=0)
    again = None if first is None else _by_step(patient, batch, seed=1)
    if first is None or again is None:
        return False
    return _alike(first[1], again[1]) and not _alike(first[1], first[0])


def check_handed(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield an evaluation that hands the network inputs prepared otherwise than the training step does."""
    if patient.step is None or patient.evaluate is None or patient.valid is None:
        return
    found = _map_of_step(patient, batch)
    if found is None and not prepares(patient, batch):
        return
    evaluate, given = patient.evaluate, patient.valid.given
    patient.network.eval()
    asked = _handed(patient, lambda: evaluate(patient.network, given))
    rows = _flat(patient.valid.rows(100_000)[0])
    if not asked or any(part.shape[1:] != rows.shape[1:] for part in asked):
        return
    theirs = torch.cat(asked)
    if len(theirs) != len(rows):
        return
    seen = f"evaluate hands the network inputs of mean {float(theirs.mean()):.3g} and spread {float(theirs.std()):.3g}"
    if found is None:
        if _alike(theirs, rows):
            seen += ", the rows as they are; the step makes others of them first"
            yield Finding("inconsistent_preparation", "evaluate", seen, 0.93)
        return
    expected = found(rows)
    gap = (theirs.mean(0) - expected.mean(0)).abs() / expected.std(0).clamp_min(1e-9)
    scale = theirs.std(0) / expected.std(0).clamp_min(1e-9)
    moving = expected.std(0) > 1e-9
    off = ((gap > 0.5) | (scale > 2) | (scale < 0.5))[moving].double().mean()
    if float(off) > 0.5:
        seen += f"; as the step prepares them they have {float(expected.mean()):.3g} and {float(expected.std()):.3g}"
        yield Finding("inconsistent_preparation", "evaluate", seen, 0.93)


def _flat(inputs: Tensor) -> Tensor:
    return inputs.detach().double().reshape(len(inputs), -1)


def _handed(patient: Patient, call: Callable[[], Any]) -> list[Tensor]:
    """Return the numbers that the network gets while something is called."""
    found: list[Tensor] = []

    def listen(module: Any, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point() and inputs[0].ndim > 1:
            found.append(_flat(inputs[0]))

    handle = patient.network.register_forward_pre_hook(listen)
    try:
        call()
    finally:
        handle.remove()
    return found


def _by_step(patient: Patient, batch: Any, seed: int | None = None) -> tuple[Tensor, Tensor] | None:
    """Return a batch's inputs, and what the step hands the network first, if they are of one shape."""
    inputs = numbers_of(batch)
    if patient.step is None or inputs is None:
        return None
    before = _flat(inputs).clone()
    if seed is not None:
        torch.manual_seed(seed)
    patient.network.train()
    handed = _handed(patient, lambda: patient.advance(batch))
    return (before, handed[0]) if handed and handed[0].shape == before.shape else None


def _map_of_step(patient: Patient, batch: Any) -> Map | None:
    """Return how the step makes the network's inputs from a batch's, if by a factor and an offset, one or by column."""
    found = _by_step(patient, batch)
    if found is None or len(found[0]) < 8:
        return None
    before, after = found
    for x, z in ((before.reshape(-1, 1), after.reshape(-1, 1)), (before, after)):
        spread = x.var(0, unbiased=False)
        slope = torch.where(spread > 0, ((x - x.mean(0)) * (z - z.mean(0))).mean(0) / spread.clamp_min(1e-300), 0.0)
        offset = z.mean(0) - slope * x.mean(0)
        if _alike(x * slope + offset, z):
            return lambda rows, slope=slope, offset=offset: rows * slope + offset  # type: ignore[misc]
    return None


def _alike(one: Tensor, other: Tensor) -> bool:
    size = float(other.std())
    return bool(torch.isfinite(one).all()) and float((one - other).abs().max()) < 1e-3 * max(size, 1e-12)
