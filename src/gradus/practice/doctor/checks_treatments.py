"""Stage five: change one thing, train again, and keep what is mended by it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from gradus.practice.doctor.checks_step import in_order, shrinks, steps_often
from gradus.practice.doctor.course import Course
from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.treatments import TREATMENTS, Treatment, as_drawn, frozen, meant, off_scale
from gradus.practice.doctor.treatments_steps import canonical
from gradus.practice.doctor.trial import Trial, run_trial

__all__ = ["is_sum", "treated"]

# Causes that can be seen before training: that mending them helps a little is enough.
PLAIN = ("optimizer_settings", "initialization_scale", "saturated_units", "schedule")
RATES = ("learning_rate_too_high", "learning_rate_too_low", "too_few_updates")
# Causes whose treatment leaves the loss as it is, so that one far lower is a proof whatever it measures.
SAME_LOSS = (
    "frozen_parameters", "gradient_clip", "initialization_scale", "learning_rate_too_high", "learning_rate_too_low",
    "optimizer_settings", "saturated_units", "schedule",
)  # fmt: skip


def _at(trial: Trial, step: int) -> dict[str, Any]:
    """Return the last judgement at or before a step."""
    rows = [row for row in trial.epochs if row["step"] <= step]
    return rows[-1] if rows else (trial.epochs[0] if trial.epochs else {})


def _gain(course: Course, trial: Trial) -> tuple[float, float, float]:
    """Return how much of what was wrong a treatment mends, the skill reached, and the one without it."""
    row = trial.epochs[-1] if trial.epochs else {}
    before = _at(course.base, row.get("step", 0)) if course.base.finite else {}
    new, old = row.get("skill", math.nan), before.get("skill", math.nan)
    if not math.isfinite(new):
        return -math.inf, new, old
    if not math.isfinite(old):
        old = 0.0
    old_kept = max(old, -1.0)
    return (new - old_kept) / max(_reach(course, new) - old_kept, 0.02), new, old


def _reach(course: Course, new: float) -> float:
    """Return the skill that the data have room for: where a simple model reaches little, little is a lot."""
    known = [v for v in (*course.reference.values(), course.careful) if math.isfinite(v)]
    if not course.behind or not math.isfinite(course.known) or not known:
        return 1.0
    return min(1.0, max(1.25 * max(known), new, 0.2))


def _carefully(course: Course, fresh: Callable[[], Patient], deadline: float) -> None:
    """Train the same network as a careful colleague would, to see what it can do."""
    if course.poor or course.base.seconds * 1.6 > 0.4 * (deadline - time.perf_counter()):
        return
    patient = canonical(fresh())
    if patient is None:
        return
    limit = max(2.0, 1.6 * course.base.seconds)
    trial = run_trial(patient, seconds=limit, steps=len(course.base.losses), judge=course.judge)
    if trial.error or not trial.finite:
        return
    gain, new, old = _gain(course, trial)
    course.careful = course.base.skill + (new - old)
    row = {"treatment": "with plain steps, the usual loss and Adam", "skill": round(new, 4), "gain": round(gain, 4)}
    course.treated.append(row)


def treated(course: Course, fresh: Callable[[], Patient], deadline: float) -> Iterator[Finding]:
    """Try what seems likely, the likeliest first, while time is left."""
    sample = fresh()
    unknown = course.judge.task.kind == "other" and not course.poor
    if not math.isfinite(course.base.skill) and not course.poor:
        return
    if unknown and not (course.judge.first_loss > 0 and course.base.skill < 0.9):
        return  # of a loss without a floor, a lower one is no proof that something was wrong
    if not unknown:
        _carefully(course, fresh, deadline)
    behind = course.behind
    least = 0.25 if behind else 0.45 if not math.isfinite(course.known) else 0.8
    planned = []
    for treatment in TREATMENTS:
        prior = _adapted(treatment, treatment.prior(sample), course)
        if course.enough and treatment.cause == "too_few_updates":
            continue  # as many steps are enough for a careful training
        if treatment.cause == "wrong_step_order" and prior >= least and sample.loss is None and steps_often(sample):
            continue  # of two players, the objective is one's alone: the plain step trains no other
        if prior >= least and (not unknown or treatment.cause in SAME_LOSS):
            planned.append((prior, treatment))
    planned.sort(key=lambda pair: -pair[0])
    found: list[tuple[float, float, Treatment, Trial]] = []
    for place, (prior, treatment) in enumerate(planned):
        left = deadline - time.perf_counter()
        if left < 1.0:
            break
        patient = treatment.apply(fresh())
        if patient is None:
            continue
        many = treatment.words.startswith("trained five")
        cut = course.base.finite and not many and not treatment.words.endswith("batches")
        steps = len(course.base.losses) if cut else None
        usual = (6 if many else 1.6) * course.base.seconds if course.base.finite else 0.15 * left
        limit = min(left, max(2.0, usual))
        trial = run_trial(patient, seconds=limit, steps=steps, judge=course.judge)
        if trial.error or not trial.finite:
            course.treated.append({"treatment": treatment.words, "skill": None, "gain": None})
            continue
        gain, new, _ = _gain(course, trial)
        course.treated.append({"treatment": treatment.words, "skill": round(new, 4), "gain": round(gain, 4)})
        found.append((gain, prior, treatment, trial))
        if gain > 0.75 and prior >= 0.4 and not any(p >= max(0.9, prior) for p, _ in planned[place + 1 :]):
            break
    if found:
        yield from _best(course, sample, found)


def _adapted(treatment: Treatment, prior: float, course: Course) -> float:
    """Weigh a treatment by how the loss went."""
    base = course.base
    if not base.finite:
        return 1.0 if treatment.cause == "learning_rate_too_high" else prior
    start, end = base.head(), base.tail()
    if treatment.cause == "schedule":
        return _gone(base)
    if treatment.words.endswith("a tenth of the learning rate") and _steep(course.base.patient):
        return 1.0
    if treatment.cause == "learning_rate_too_high" and (end > start or _rough(base) > 0.5):
        return prior + 0.4
    if treatment.cause == "learning_rate_too_low" and 0 <= start - end < 0.1 * abs(start):
        return prior + 0.35
    return prior


def _steep(patient: Patient | None) -> bool:
    """Whether an optimizer whose steps are as long as its rate says has a rate of a twentieth or more."""
    kinds = (torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop)
    optimizers = [] if patient is None else patient.optimizers
    return any(isinstance(o, kinds) and max(g["lr"] for g in o.param_groups) >= 0.05 for o in optimizers)


def _gone(trial: Trial) -> float:
    """Return one where the learning rate is gone in the first half of the training."""
    rates = trial.rates
    return 1.0 if len(rates) >= 8 and rates[len(rates) // 2] < 0.02 * max(rates) else 0.0


def _rough(trial: Trial) -> float:
    """Return how much the loss goes up and down late in training, relative to its size."""
    last = trial.losses[len(trial.losses) // 2 :]
    if len(last) < 4:
        return 0.0
    mean = sum(last) / len(last)
    return sum(abs(b - a) for a, b in pairwise(last)) / len(last) / max(abs(mean), 1e-12)


def _best(course: Course, sample: Patient, found: list[tuple[float, float, Treatment, Trial]]) -> Iterator[Finding]:
    """Yield the treatments that helped, the one that helped most for its likelihood first."""
    usual = 0.25 if course.poor else 0.3 if course.behind else 0.5
    if course.base.skill < 0.05 and not math.isfinite(course.known):
        usual = 0.15  # next to nothing is learned: a little is a lot
    top = max(gain for gain, *_ in found)
    for gain, prior, treatment, trial in found:
        new, old = trial.skill, _gain(course, trial)[2]
        strange = prior >= 0.95 and treatment.cause in PLAIN
        strange |= prior >= 0.75 and treatment.words.endswith("batches")
        strange |= treatment.cause == "unnormalized_inputs" and _far_off(course, sample)
        strange |= treatment.cause == "frozen_parameters" and as_drawn(sample)
        strange |= treatment.words.startswith("with one learning rate")
        strange |= prior >= 1 and treatment.words.endswith("a tenth of the learning rate") and _steep(sample)
        need, least = (0.12, 0.04) if strange else (usual, 0.1 if course.behind else 0.12 if prior >= 0.95 else 0.25)
        if course.below and prior >= 0.9 and treatment.cause not in RATES and new > 0.95 * course.known:
            need, least = min(need, 0.2), min(least, 0.06)  # no simple model does better any more
        if course.judge.task.kind == "other" and treatment.cause in PLAIN and gain >= 0.6:
            least = 0.06  # of the loss that is left, most
        unsure = (1 if strange else 2) * course.noise
        if course.judge.task.kind == "other" and max(new, old) > 1:
            continue  # a loss without a floor
        if course.base.finite and new < course.base.skill + 0.5 * max(least, unsure):
            continue  # cut short: as much is learned without it in the end
        if course.judge.task.kind != "other" and new < 0.05:
            continue  # what learns nothing still is not mended
        if gain < need or gain < 0.6 * top or new - max(old, -1.0) < max(least, unsure):
            continue
        cause = treatment.cause
        if cause == "frozen_parameters":
            cause = cause if frozen(sample) else "not_in_optimizer"
            if meant(sample) and not ((course.behind or not frozen(sample)) and as_drawn(sample)):
                yield Finding(cause, "training", f"skill {old:.2f} becomes {new:.2f} {treatment.words}", 0.47)
                continue
        if cause == "wrong_step_order":
            cause = _step_cause(course, sample)
        if cause in ("learning_rate_too_high", "wrong_loss") and is_sum(sample):
            cause = "sum_reduction"
        seen = f"skill {old:.2f} becomes {new:.2f} {treatment.words} (0: best constant answer, 1: perfect)"
        sure = 0.5 + 0.25 * min(1.0, gain) + 0.15 * min(prior, 1.0) + 0.05 * (gain >= 0.95 * top)
        sure += 0.1 * (cause == "gradient_clip")  # a larger rate makes up for what is clipped
        yield Finding(cause, "training", seen, min(0.95, sure))


def _far_off(course: Course, sample: Patient) -> bool:
    """Whether inputs in the hundreds make the first scores so large that the loss starts far above that of chance."""
    task = course.judge.task
    if task.kind not in ("classes", "binary") or off_scale(sample) < 2 or is_sum(sample):
        return False
    return course.base.head(1) > 10 * math.log(max(2, task.classes))


def _step_cause(course: Course, sample: Patient) -> str:
    """Return what is wrong with a step of the user's own that learns less than the plain one."""
    rates = course.base.rates
    if rates and (max(rates) > 3 * rates[0] or rates[-1] < 0.05 * rates[0]):
        return "schedule"
    known = [cause for cause in ("gradient_clip", "excessive_regularization") if cause in course.suspected]
    if known:
        return known[0]
    if not in_order(sample):
        return "wrong_step_order"
    return "excessive_regularization" if shrinks(sample) else "wrong_loss"


def is_sum(patient: Patient) -> bool:
    """Whether the loss of a batch is the sum of those of its rows."""
    batch = next(iter(patient.train.batches()))
    parts = batch if isinstance(batch, tuple | list) else (batch,)
    if not all(isinstance(p, Tensor) and p.ndim and len(p) == len(parts[0]) for p in parts) or len(parts[0]) < 4:
        return False
    patient.network.eval()
    try:
        with torch.no_grad():
            twice = tuple(torch.cat([p, p]) for p in parts)
            one, two = float(patient.measure(tuple(parts))), float(patient.measure(twice))
    except Exception:  # batches of another size cannot be asked
        return False
    return abs(two / one - 2) < 0.02 if one else False
