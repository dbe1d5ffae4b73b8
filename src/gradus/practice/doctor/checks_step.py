"""Stage two, goes on: the user's own training step, watched from outside while it runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from gradus.practice.doctor.findings import Finding, as_far_as_they_go
from gradus.practice.doctor.hearing import StepWatch, heard
from gradus.practice.doctor.patient import Patient, stored

__all__ = ["check_step", "has_players", "in_order", "minds_mode", "shrinks", "sleeps", "steps_often"]

STEPS = 24
SENTINEL = 1e3


def watch_steps(patient: Patient, steps: int = STEPS) -> StepWatch:
    """Run the step some times and record what it does."""
    watch = StepWatch()
    pairs = [(n, p) for n, p in patient.network.named_parameters() if p.requires_grad]
    named, parameters = [n for n, _ in pairs], [p for _, p in pairs]
    held = [t for s in (patient.train, patient.valid) for t in stored(s)]
    sums = [float(t.double().sum()) for t in held]
    first = [p.detach().clone() for p in parameters]
    middle = first
    patient.network.train()
    order = torch.Generator().manual_seed(0)
    done = 0
    around: dict[str, list[Tensor]] = {}
    hooks = [
        register_optimizer_step_pre_hook(lambda *_: around.update(before=[p.detach().clone() for p in parameters])),
        register_optimizer_step_post_hook(lambda *_: around.update(after=[p.detach().clone() for p in parameters])),
    ]
    with heard(watch, patient.network), _removed(hooks):
        while done < steps:
            begun = done
            for batch in patient.train.batches(order):
                before = [p.detach().clone() for p in parameters]
                watch.events.append([])
                watch.training.append([])
                around.clear()
                patient.advance(batch)
                if len(around) == 2:
                    watch.undone.append(_undone(around["before"], around["after"], parameters))
                    watch.shrunk.append(_size(parameters) < (1 - 1e-6) * _size(around["after"]))
                gap = _size([p.detach() - b for p, b in zip(parameters, before, strict=True)])
                watch.moved.append(gap / max(_size(before), 1e-12))
                done += 1
                if done == steps // 2:
                    middle = [p.detach().clone() for p in parameters]
                if done >= steps:
                    break
            if done == begun:
                break
    for p in parameters:
        p.requires_grad_(True)  # as it was: a step may freeze one player for the other's turn
    watch.still = [n for n, p, b in zip(named, parameters, first, strict=True) if torch.equal(p.detach(), b)]
    halves = zip(named, first, middle, parameters, strict=True)
    watch.stopped = [
        n for n, a, b, c in halves if done == steps and not torch.equal(a, b) and torch.equal(b, c.detach())
    ]
    watch.changed_data = any(float(t.double().sum()) != s for t, s in zip(held, sums, strict=True))
    return watch


@contextmanager
def _removed(hooks: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _size(tensors: Sequence[Tensor]) -> float:
    """Return the norm of all their numbers."""
    return math.sqrt(sum(float((t.detach() ** 2).sum()) for t in tensors))


@torch.no_grad()
def _undone(before: Sequence[Tensor], after: Sequence[Tensor], now: Sequence[Tensor]) -> float:
    """Return which part of a step from before to after has been taken back since, in half of the numbers at least."""
    step = torch.cat([(a - b).reshape(-1) for b, a in zip(before, after, strict=True)])
    back = torch.cat([(a - n.detach()).reshape(-1) for a, n in zip(after, now, strict=True)])
    moved = step != 0
    if not bool(moved.any()):
        return 0.0
    shares = back[moved] / step[moved]
    kept = float((shares.abs() < 1e-3).double().mean())  # a projection, such as a mask, leaves the others as they are
    return 0.0 if kept > 0.02 else float(shares.median())


def check_step(patient: Patient) -> Iterator[Finding]:
    """Yield what is wrong with the user's own step; ``patient`` is trained a little by it."""
    if patient.step is None:
        return
    free, harmed = [p for p in patient.network.parameters() if p.requires_grad], sleeps(patient.network)
    against = list(as_far_as_they_go([lambda: _against(patient)]))
    for p in free:
        p.requires_grad_(True)
    watch = _long_enough(patient)
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
        yield Finding("no_gradient", "step", seen, 0.97)
        return
    lost = sum(_zeroed_between(events) for events in watch.events)
    if lost > 0.5 * calls and still > 0.8 * calls:
        yield Finding("wrong_step_order", "step", "gradients are cleared between backward and the step", 0.97)
        return
    if max(watch.used, default=1.0) == 0 and max(watch.raw) > 0:
        yield Finding("wrong_step_order", "step", "the optimizer steps before there are gradients", 0.97)
        return
    if watch.undone and sorted(watch.undone)[len(watch.undone) // 2] > 0.5:
        back = sorted(watch.undone)[len(watch.undone) // 2]
        seen = f"after the optimizer's step something else writes to the parameters, and takes {back:.0%} of it back"
        yield Finding("shared_state", "step", seen, 0.94)
    yield from _left_behind(watch, patient)
    yield from _cleared(watch, patient)
    yield from _clipped(watch, patient)
    if not _several(watch, patient):
        yield from against
    yield from _early_clip(watch)
    trains = [mode for modes in watch.training for mode in modes]
    if trains and not any(trains) and harmed:
        seen = "the network is in evaluation mode in every step, so dropout and batch statistics are off"
        yield Finding("eval_in_training", "step", seen, 0.96)


def _long_enough(patient: Patient) -> StepWatch:
    """Watch some steps; more where gradients seem to be gathered over many batches."""
    watch = watch_steps(patient)
    return watch_steps(patient, 260) if watch.counts["backward"] and not watch.counts["step"] else watch


def _early_clip(watch: StepWatch) -> Iterator[Finding]:
    """Find gradients that are clipped before there are any."""
    counts, calls = watch.counts, len(watch.events)
    early = sum("clip" in events and "backward" not in events[: _last(events, "clip")] for events in watch.events)
    if early > 0.8 * calls and counts["zero"] > 0.8 * calls:
        yield Finding(
            "wrong_step_order", "step", "gradients are clipped before there are any: clip after backward", 0.91
        )


def has_players(patient: Patient) -> bool:
    """Whether one call of the step trains several players: it goes back more than once, for losses of its own."""
    if patient.step is None or len(list(patient.network.children())) < 2:
        return False
    watch = watch_steps(patient, 3)
    own = _turns(watch) or patient.loss is None
    return _several(watch, patient) and own


def in_order(patient: Patient) -> bool:
    """Whether each call of the step clears gradients, goes back once and steps once, in this order."""
    try:
        events = watch_steps(patient, 3).events
    except Exception:  # a step that cannot be watched
        return False
    told = [[e for e in call if e != "clip"] for call in events]
    return bool(told) and all(call == ["zero", "backward", "step"] for call in told)


def shrinks(patient: Patient) -> bool:
    """Whether the step makes weights smaller once its optimizer has stepped."""
    try:
        shrunk = watch_steps(patient).shrunk
    except Exception:  # a step that cannot be watched
        return False
    return sum(shrunk) > 0.5 * len(shrunk)


def steps_often(patient: Patient) -> bool:
    """Whether one call of the step lets optimizers step more than once, as players do that take turns."""
    return patient.step is not None and _turns(watch_steps(patient, 3))


def _turns(watch: StepWatch) -> bool:
    """Whether optimizers step at least twice in a call."""
    return watch.counts["step"] >= 2 * max(1, len(watch.events))


def _last(events: Sequence[str], name: str) -> int:
    return len(events) - 1 - list(reversed(events)).index(name)


def _against(patient: Patient) -> Iterator[Finding]:
    """Compare the gradient that the optimizer takes with that of the loss of the same batch."""
    parameters = [p for p in patient.network.parameters() if p.requires_grad]
    taken: list[list[Tensor]] = []

    def look(*_: Any) -> None:
        taken.append([torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for p in parameters])

    angles, ratios, sizes = [], [], []
    for k, batch in enumerate(islice(patient.train.batches(torch.Generator().manual_seed(3)), 4)):
        torch.manual_seed(k)
        patient.network.train()
        value = patient.measure(batch)
        plain = torch.autograd.grad(value, parameters, allow_unused=True)
        ours = torch.cat(
            [(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in zip(parameters, plain, strict=True)]
        )
        watch = StepWatch(events=[[]], training=[[]])
        taken.clear()
        hook = register_optimizer_step_pre_hook(look)
        try:
            torch.manual_seed(k)
            with heard(watch, patient.network):
                patient.advance(batch)
        finally:
            hook.remove()
        if len(taken) != 1 or len(watch.losses) != 1 or not math.isfinite(watch.losses[0]):
            return
        theirs = torch.cat([g.reshape(-1) for g in taken[0]])
        size = float(ours.norm() * theirs.norm())
        if size <= 0 or not math.isfinite(size):
            return
        angles.append(float(ours @ theirs) / size)
        ratios.append(abs(watch.losses[0]) / max(abs(float(value.detach())), 1e-12))
        sizes.append(float(theirs.norm() / ours.norm()))
    if not angles:
        return
    angle, ratio = sorted(angles)[len(angles) // 2], sorted(ratios)[len(ratios) // 2]
    if max(angles) < -0.3:
        seen = f"the step goes against the gradient of the loss: the cosine between the two is {angle:.2f}"
        yield Finding("wrong_loss", "step", seen, 0.93)
    elif angle < 0.7 and ratio > 3 and sorted(sizes)[len(sizes) // 2] > 2:
        seen = f"the step lowers {ratio:.1f} times the loss, along a gradient at a cosine of {angle:.2f} to the loss's"
        yield Finding("excessive_regularization", "step", seen, 0.45)


def _left_behind(watch: StepWatch, patient: Patient) -> Iterator[Finding]:
    """Find layers that no step moves, and players that move each other."""
    counts, calls = watch.counts, len(watch.events)
    players = _several(watch, patient)
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
        place, sure = weights[0].rpartition(".")[0] or weights[0], 0.85 if players else 0.49
        if len(patient.optimizers) == 1 and sum(map(_dropped, watch.events)) > 0.5 * calls:
            seen += "; gradients of one backward pass are cleared before the next, and no step is taken between them"
            cause, sure = "wrong_step_order", 0.92
        yield Finding(cause, place, seen, sure)
    if watch.stopped and not weights and len(watch.stopped) < total:
        names = ", ".join(watch.stopped[:3]) + (" ..." if len(watch.stopped) > 3 else "")
        seen = f"{len(watch.stopped)} of {total} parameters move in the first steps and then never again: {names}"
        place = watch.stopped[0].rpartition(".")[0] or watch.stopped[0]
        yield Finding("unbalanced_players" if players else "frozen_parameters", place, seen, 0.85 if players else 0.45)
    if players and counts["step"] >= 2 * calls and watch.everywhere >= 2 * calls:
        seen = f"each of the {counts['step'] // calls} steps of a batch moves the parameters of all players"
        yield Finding("unbalanced_players", "optimizer", seen, 0.8)
    elif watch.shared > 0.4 * counts["step"]:
        seen = "one backward pass through both players, and one step along it: the one moves the other's way"
        yield Finding("unbalanced_players", "optimizer", seen, 0.85)


def _several(watch: StepWatch, patient: Patient) -> bool:
    """Whether the step goes back several times, and not each time to the same end: for players of their own."""
    if watch.counts["backward"] < 2 * len(watch.events) or len(list(patient.network.children())) < 2:
        return False
    return len(set(watch.reached)) > 1 or len(patient.optimizers) > 1 or len(watch.stale) > 1


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


def _dropped(events: list[str]) -> bool:
    """Whether gradients were cleared between two backward passes, without a step between them."""
    told = "".join(e[0] for e in events if e in ("zero", "backward", "step"))
    return re.search("bz+b", told) is not None


def _cleared(watch: StepWatch, patient: Patient) -> Iterator[Finding]:
    """Gradients of earlier calls that are still there when the optimizer steps."""
    counts, calls = watch.counts, len(watch.events)
    per_step = _each_step(watch)
    cleared = sum(watch.kept) < 0.5 * len(watch.kept)  # in some way that was not heard
    if _uncleared(watch) > 0.6 * counts["step"] and not cleared and not _fresh_gradients(patient):
        seen = f"gradients are cleared {counts['zero']} times in {counts['step']} steps"
        yield Finding("missing_zero_grad", "step", seen, 0.96)
        return
    worst = max(watch.stale.values(), default=0)
    if len(watch.stale) > 1 and worst > 0.6 * calls and min(watch.stale.values()) < 0.2 * calls:
        seen = f"one of {len(watch.stale)} optimizers took {worst} steps with gradients that were never cleared"
        yield Finding("missing_zero_grad", "step", seen, 0.9)
        return
    players = len(patient.optimizers)
    if per_step > 1.5 and players == 1 and counts["step"] < calls:
        ratio = _accumulated(patient, per_step)
        if ratio is not None and ratio > 5 * per_step:
            seen = f"gradients grow from step to step, to {ratio:.0f} times that of one batch: they are never cleared"
            yield Finding("missing_zero_grad", "step", seen, 0.95)
        elif ratio is not None and ratio > 0.75 * per_step:
            seen = (
                f"the gradients of {per_step:.0f} batches are summed, not averaged: the step sees {ratio:.1f} times "
                "the gradient of one"
            )
            plain = any(isinstance(o, torch.optim.SGD) for o in patient.optimizers)  # others do not mind the size
            yield Finding("accumulation_unscaled", "step", seen, 0.92 if plain else 0.49)


def _each_step(watch: StepWatch) -> float:
    """Return how many backward passes go before a step, of those that a step came after."""
    events = [event for events in watch.events for event in events]
    steps = events.count("step")
    last = len(events) - events[::-1].index("step") if steps else len(events)
    return events[:last].count("backward") / max(1, steps)


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


def _marked(gradients: Sequence[Tensor]) -> bool:
    """Whether the mark is still in gradients, by its size or, where they were clipped, by its direction."""
    if min(float(g.abs().median()) for g in gradients) > 0.1 * SENTINEL:
        return True
    whole = torch.cat(list(gradients))
    return float(whole.sum()) > 0.99 * max(float(whole.norm()) * whole.numel() ** 0.5, 1e-30)


def _fresh_gradients(patient: Patient) -> bool:
    """Whether a step clears gradients in some way that was not heard: it loses a mark left in them."""
    parameters = [p for p in patient.network.parameters() if p.requires_grad]
    seen: list[bool] = []

    def look(*_: Any) -> None:
        left = [p.grad.detach().reshape(-1) for p in parameters if p.grad is not None]
        seen.append(bool(left) and _marked(left))

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


def _accumulated(patient: Patient, per_step: float) -> float | None:
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
            for _ in range(max(STEPS, min(300, math.ceil(12 * per_step)))):
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


def _clipped(watch: StepWatch, patient: Patient) -> Iterator[Finding]:
    if watch.counts["clip"] == 0 or not watch.raw or not watch.used:
        return
    pairs = [u / r for u, r in zip(watch.used, watch.raw, strict=False) if r > 0]
    if not pairs:
        return
    middle = sorted(pairs)[len(pairs) // 2]
    if middle < 0.02:
        plain = any(isinstance(o, torch.optim.SGD) for o in patient.optimizers)  # others do not mind the size
        seen = f"clipping leaves {middle:.2%} of the gradient's norm"
        yield Finding("gradient_clip", "step", seen, 0.49 if plain else 0.4)


def sleeps(network: nn.Module) -> bool:
    """Whether evaluation mode in training does harm: dropout is off, or statistics are those of the construction."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    learned = all(m.num_batches_tracked is not None and int(m.num_batches_tracked) > 0 for m in norms)
    drops = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in network.modules())
    return drops or bool(norms and not learned)


def minds_mode(network: nn.Module) -> bool:
    """Whether a network answers otherwise in training than in evaluation."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return any(isinstance(m, kinds) and getattr(m, "p", 1.0) > 0 for m in network.modules())
