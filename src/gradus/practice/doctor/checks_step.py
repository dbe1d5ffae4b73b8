"""Stage two, goes on: the user's own training step, watched from outside while it runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.hearing import StepWatch, heard
from gradus.practice.doctor.patient import Patient, stored

__all__ = ["check_step", "has_players", "minds_mode"]

STEPS = 24
SENTINEL = 1e3


def watch_steps(patient: Patient, steps: int = STEPS) -> StepWatch:
    """Run the step some times and record what it does."""
    watch = StepWatch()
    parameters = [p for p in patient.network.parameters() if p.requires_grad]
    held = [t for s in (patient.train, patient.valid) for t in stored(s)]
    sums = [float(t.double().sum()) for t in held]
    first = [p.detach().clone() for p in parameters]
    patient.network.train()
    order = torch.Generator().manual_seed(0)
    done = 0
    with heard(watch, patient.network, patient.optimizers):
        while done < steps:
            begun = done
            for batch in patient.train.batches(order):
                before = [p.detach().clone() for p in parameters]
                watch.events.append([])
                watch.training.append([])
                patient.advance(batch)
                gap = math.sqrt(sum(float(((p - b) ** 2).sum()) for p, b in zip(parameters, before, strict=True)))
                size = math.sqrt(sum(float((b**2).sum()) for b in before))
                watch.moved.append(gap / max(size, 1e-12))
                done += 1
                if done >= steps:
                    break
            if done == begun:
                break
    named = [n for n, p in patient.network.named_parameters() if p.requires_grad]
    watch.still = [n for n, p, b in zip(named, parameters, first, strict=True) if torch.equal(p.detach(), b)]
    watch.changed_data = any(float(t.double().sum()) != s for t, s in zip(held, sums, strict=True))
    return watch


def check_step(patient: Patient) -> Iterator[Finding]:
    """Yield what is wrong with the user's own step; ``patient`` is trained a little by it."""
    if patient.step is None:
        return
    watch = watch_steps(patient)
    if not watch.events:
        return
    counts, calls = watch.counts, len(watch.events)
    still = sum(m == 0 for m in watch.moved)
    if watch.changed_data:
        yield Finding("shared_state", "train", "the step changes the data it is given, in place", 0.9)
    if counts["backward"] == 0:
        if still == calls:
            yield Finding("missing_backward", "step", f"{calls} steps without a backward pass", 0.97)
        return
    if counts["step"] == 0:
        if still == calls:
            yield Finding("missing_step", "step", f"{calls} steps, and no parameter has moved", 0.97)
        return
    if max(watch.raw, default=1.0) == 0 and max(watch.used, default=1.0) == 0 and still == calls:
        seen = f"{counts['backward']} backward passes reach no parameter: the loss is cut off from the network"
        yield Finding("no_gradient", "step", seen, 0.95)
        return
    lost = sum(_zeroed_between(events) for events in watch.events)
    if lost > 0.5 * calls and still > 0.8 * calls:
        yield Finding("wrong_step_order", "step", "gradients are cleared between backward and the step", 0.97)
        return
    if max(watch.used, default=1.0) == 0 and max(watch.raw) > 0:
        yield Finding("wrong_step_order", "step", "the optimizer steps before there are gradients", 0.97)
        return
    yield from _left_behind(watch, patient)
    yield from _cleared(watch, patient)
    yield from _clipped(watch)
    trains = [mode for modes in watch.training for mode in modes]
    if trains and not any(trains) and minds_mode(patient.network):
        seen = "the network is in evaluation mode in every step, so dropout and batch statistics are off"
        yield Finding("eval_in_training", "step", seen, 0.93)


def has_players(patient: Patient) -> bool:
    """Whether one call of the step trains several players: it goes back more than once, for losses of its own."""
    if patient.step is None or len(list(patient.network.children())) < 2:
        return False
    watch = watch_steps(patient, 3)
    calls = max(1, len(watch.events))
    own = watch.counts["step"] >= 2 * calls or patient.loss is None
    return watch.counts["backward"] >= 2 * calls and own


def _left_behind(watch: StepWatch, patient: Patient) -> Iterator[Finding]:
    """Find layers that no step moves, and players that move each other."""
    counts, calls = watch.counts, len(watch.events)
    players = counts["backward"] >= 2 * calls and len(list(patient.network.children())) > 1
    weights = [n for n in watch.still if n.endswith("weight") or "." not in n]
    total = sum(p.requires_grad for p in patient.network.parameters())
    if weights and len(watch.still) < total:
        names = ", ".join(weights[:3]) + (" ..." if len(weights) > 3 else "")
        seen = f"{len(watch.still)} of {total} parameters have not moved in {calls} steps: {names}"
        cause = "unbalanced_players" if players else "no_gradient"
        held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
        by_name = dict(patient.network.named_parameters())
        if not players and all(id(by_name[n]) not in held for n in weights):
            cause = "not_in_optimizer"
        yield Finding(cause, weights[0].rpartition(".")[0] or weights[0], seen, 0.85 if players else 0.6)
    if players and counts["step"] >= 2 * calls and watch.everywhere >= 2 * calls:
        seen = f"each of the {counts['step'] // calls} steps of a batch moves the parameters of all players"
        yield Finding("unbalanced_players", "optimizer", seen, 0.8)


def _zeroed_between(events: list[str]) -> bool:
    """Whether gradients were cleared after the last backward and before the step."""
    if "step" not in events:
        return False
    at = events.index("step")
    before = events[:at]
    if "backward" not in before:
        return False
    last = len(before) - 1 - before[::-1].index("backward")
    return "zero" in before[last:]


def _cleared(watch: StepWatch, patient: Patient) -> Iterator[Finding]:
    """Gradients of earlier calls that are still there when the optimizer steps."""
    counts, calls = watch.counts, len(watch.events)
    per_step = counts["backward"] / max(1, counts["step"])
    if _uncleared(watch) > 0.6 * counts["step"] and not _fresh_gradients(patient):
        seen = f"gradients are cleared {counts['zero']} times in {counts['step']} steps"
        yield Finding("missing_zero_grad", "step", seen, 0.96)
        return
    players = len(patient.optimizers)
    if per_step > 1.5 and players == 1 and counts["step"] < calls:
        ratio = _accumulated(patient)
        if ratio is not None and ratio > 0.75 * per_step:
            seen = (
                f"the gradients of {per_step:.0f} batches are summed, not averaged: the step sees {ratio:.1f} times "
                "the gradient of one"
            )
            yield Finding("accumulation_unscaled", "step", seen, 0.85)


def _uncleared(watch: StepWatch) -> int:
    """Return how many steps were taken with gradients that had not been cleared since the step before."""
    found, cleared = 0, True
    for event in (event for events in watch.events for event in events):
        if event == "zero":
            cleared = True
        elif event == "step":
            found += not cleared
            cleared = False
    return found


def _fresh_gradients(patient: Patient) -> bool:
    """Whether a step clears gradients in some way that was not heard: it loses a mark left in them."""
    parameters = [p for p in patient.network.parameters() if p.requires_grad]
    seen: list[bool] = []

    def look(*_: Any) -> None:
        big = [float(p.grad.abs().median()) for p in parameters if p.grad is not None]
        seen.append(bool(big) and min(big) > 0.1 * SENTINEL)

    handles = [optimizer.register_step_pre_hook(look) for optimizer in patient.optimizers]
    try:
        for batch in patient.train.batches(torch.Generator().manual_seed(1)):
            for p in parameters:
                p.grad = torch.full_like(p, SENTINEL)
            patient.advance(batch)
            break
    finally:
        for handle in handles:
            handle.remove()
    return not any(seen)


def _accumulated(patient: Patient) -> float | None:
    """Return how many times the gradient of one batch the optimizer sees, where several are accumulated."""
    parameters = [p for p in patient.network.parameters() if p.requires_grad]
    used: list[float] = []
    frozen = [(g, g["lr"]) for o in patient.optimizers for g in o.param_groups]
    for group, _ in frozen:
        group["lr"] = 0.0
    try:
        batch = next(iter(patient.train.batches(torch.Generator().manual_seed(2))))
        patient.network.eval()
        one = torch.autograd.grad(patient.measure(batch), parameters, allow_unused=True)
        size = math.sqrt(sum(float((g**2).sum()) for g in one if g is not None))

        def look(*_: Any) -> None:
            used.append(math.sqrt(sum(float((p.grad**2).sum()) for p in parameters if p.grad is not None)))

        handles = [optimizer.register_step_pre_hook(look) for optimizer in patient.optimizers]
        try:
            for _ in range(STEPS):
                patient.network.eval()
                patient.advance(batch)
        finally:
            for handle in handles:
                handle.remove()
    except Exception:
        return None
    finally:
        for group, rate in frozen:
            group["lr"] = rate
    if len(used) < 2 or size == 0:
        return None
    ratios = sorted(u / size for u in used[1:])
    return ratios[len(ratios) // 2]


def _clipped(watch: StepWatch) -> Iterator[Finding]:
    if watch.counts["clip"] == 0 or not watch.raw or not watch.used:
        return
    pairs = [u / r for u, r in zip(watch.used, watch.raw, strict=False) if r > 0]
    if not pairs:
        return
    middle = sorted(pairs)[len(pairs) // 2]
    if middle < 0.02:
        yield Finding("gradient_clip", "step", f"clipping leaves {middle:.2%} of the gradient's norm", 0.49)


def minds_mode(network: nn.Module) -> bool:
    """Whether a network answers otherwise in training than in evaluation."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return any(isinstance(m, kinds) and getattr(m, "p", 1.0) > 0 for m in network.modules())
