"""Stages three to five: train as the user does, compare with simple models, treat what does not learn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from gradus.practice.doctor.checks_loading import draws
from gradus.practice.doctor.checks_parts import check_parts, skill_of_parts
from gradus.practice.doctor.checks_step import sleeps
from gradus.practice.doctor.checks_treatments import treated
from gradus.practice.doctor.checks_wiring import is_affine
from gradus.practice.doctor.course import Course
from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.judge import Judge, linear_code_skill, reference_skill
from gradus.practice.doctor.layers import first_non_finite, layer_table
from gradus.practice.doctor.patient import Patient, parts_of, set_apart
from gradus.practice.doctor.signals import Altered, signals, silent, squashed
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.treatments import as_drawn, strange_weights
from gradus.practice.doctor.trial import Trial, run_trial
from gradus.practice.doctor.weights import put_back

__all__ = ["check_training"]


def check_training(
    fresh: Callable[[], Patient],
    task: Task,
    judge: Judge,
    *,
    seconds: float,
    treat: bool = True,
    suspected: frozenset[str] = frozenset(),
) -> tuple[Course, list[Finding], list[dict[str, Any]]]:
    """Train, compare and, with ``treat``, try changes; return the course, findings, and a table of the layers.

    ``suspected`` are causes for which the user's own step has given reason.
    """
    deadline = time.perf_counter() + seconds
    patient = fresh()
    first_batch = next(iter(patient.train.batches()))
    base = run_trial(patient, seconds=0.4 * seconds, judge=judge)
    if patient.shared:  # what was trained is asked later, when the network is as it was before
        patient = base.patient = set_apart(patient)
    course = Course(base, judge, suspected=suspected, players=not patient.plain)
    if base.error or not base.losses:
        return course, [], []
    if judge.task.kind != "other":
        with torch.no_grad():
            course.train_skill = Judge(judge.task, _some(patient), judge.first_loss)(patient)["skill"]
    if patient.plain and patient.evaluate is not None:
        course.own = tuple(_own_score(p) for p in (fresh(), patient))  # type: ignore[assignment]
    if judge.task.kind == "other" and patient.plain:
        shown = Judge(judge.task, _some(patient))
        course.answered = tuple(_answered(patient, shown, change) for change in (_same, _zeros, _turned))
    findings = list(_non_finite(course, fresh, first_batch))
    course.reference = _reference(patient, judge.task, first_batch)
    findings += (data := list(_data_tells(course, patient, judge.task)))
    treat &= all(f.confidence < 0.75 for f in data)  # rows that differ between the parts are mended by no treatment
    findings += _renamed(course, patient, task)
    table = _table_of(patient, first_batch) if base.finite and patient.plain else []
    if treat and patient.plain and not course.endless:
        findings += treated(course, fresh, deadline)
    findings += _asleep(course, fresh())
    findings += _schedule(course)
    findings += _statistics(course, first_batch)
    findings += _endless(course)
    findings += _still(course, fresh())
    findings += _weights(course, fresh())
    findings += _collapsed(course, first_batch)
    findings += _few_rows(course, patient)
    findings += _few_steps(course, patient)
    findings += _fixed_end(course, fresh())
    findings += _never_moved(course, fresh())
    findings += _straight(course, fresh(), task, first_batch)
    findings += _alike(course, fresh())
    findings += _flow(course, fresh(), first_batch)
    findings += _layers(course, table)
    findings += _narrow(course, table)
    findings += _against(course)
    findings += _one_point(course, fresh(), first_batch)
    findings += _result(course, findings)
    return course, findings, table


def _reference(patient: Patient, task: Task, batch: Any) -> dict[str, float]:
    if not patient.plain:
        return {}
    if task.kind != "reconstruction":
        return reference_skill(patient, task)
    widths = [row["width"] for row in _table_of(patient, batch)]
    return {"components": linear_code_skill(patient, min(widths))} if widths else {}


def _table_of(patient: Patient, batch: Any) -> list[dict[str, Any]]:
    try:
        return layer_table(patient, batch)
    except Exception:  # a network with an unusual way of being called has no table
        return []


@torch.no_grad()
def _own_score(patient: Patient) -> float:
    """Return what the user's own evaluation gives, and NaN where it gives nothing."""
    if patient.evaluate is None or patient.valid is None:
        return math.nan
    modes = [(module, module.training) for module in patient.network.modules()]
    patient.network.eval()
    try:
        return float(patient.evaluate(patient.network, patient.valid.given))
    except Exception:  # what it raises is told elsewhere
        return math.nan
    finally:
        for module, training in modes:
            module.training = training


def _answered(patient: Patient, judge: Judge, change: Callable[[Tensor], Tensor]) -> float:
    """Return the loss of a network whose answers are changed."""
    if patient.objective is None:
        return math.nan
    try:
        return float(judge(replace(patient, network=Altered(patient.network, change)))["valid_loss"])
    except Exception:  # an objective that takes the network apart
        return math.nan


def _same(answer: Tensor) -> Tensor:
    return answer


def _zeros(answer: Tensor) -> Tensor:
    return torch.zeros_like(answer)


def _turned(answer: Tensor) -> Tensor:
    return answer.roll(1, 0)


def _asleep(course: Course, start: Patient) -> Iterator[Finding]:
    """Find a network that trains in evaluation mode, though each epoch begins in training mode."""
    share = course.base.asleep
    if start.step is not None and share > 0.4 and sleeps(start.network):
        seen = f"in {share:.0%} of the passes of its steps the network is in evaluation mode"
        yield Finding("eval_in_training", "step", f"{seen}: something puts it there, and nothing puts it back", 0.96)


def _some(patient: Patient) -> list[Any]:
    """Return some training batches."""
    found = []
    for batch in patient.train.batches():
        found.append(batch)
        if len(found) >= 10:
            break
    return found


def _non_finite(course: Course, fresh: Callable[[], Patient], batch: Any) -> Iterator[Finding]:
    base = course.base
    if base.finite or base.patient is None:
        return
    at = next(i for i, value in enumerate(base.losses) if not math.isfinite(value))
    place = first_non_finite(base.patient, batch) or "loss"
    start = first_non_finite(fresh(), batch) if at == 0 else ""
    seen = f"the loss is {base.losses[at]} at step {at}; first seen in {start or place}"
    yield Finding("non_finite", start or place, seen, 0.8 if at < 2 else 0.6)


def _data_tells(course: Course, patient: Patient, task: Task) -> Iterator[Finding]:
    """Ask simple models whether inputs and targets belong together, in training as in validation rows."""
    known, skill = course.known, course.base.skill
    strange = math.isfinite(course.train_skill) and course.train_skill < skill - 0.1
    if not course.reference or not math.isfinite(known) or (known > 0.5 and not strange):
        return
    parts = skill_of_parts(patient, task)
    if parts is not None:
        course.inside = {"train": parts.train, "valid": parts.valid}
        yield from check_parts(parts, skill, draws(patient.train) > 0, averages=task.kind == "numbers")


@torch.no_grad()
def _renamed(course: Course, patient: Patient, task: Task) -> Iterator[Finding]:
    """Find validation answers that would be right if classes had other numbers there."""
    skill = course.base.skill
    if task.kind != "classes" or task.sequence or patient.valid is None or not course.base.finite:
        return
    if not (math.isfinite(course.train_skill) and course.train_skill > 0.4 and skill < 0.5 * course.train_skill):
        return
    parts = patient.valid.rows(2000)
    if len(parts) != 2:
        return
    from scipy.optimize import linear_sum_assignment

    patient.network.eval()
    named, truth = patient.forward(parts).argmax(task.axis), parts[1].reshape(len(parts[1])).long()
    table = torch.zeros(task.classes, task.classes)
    table.index_put_((named, truth.clamp(0, task.classes - 1)), torch.ones(len(truth)), accumulate=True)
    rows, columns = linear_sum_assignment(-table.numpy())
    best = float(table.numpy()[rows, columns].sum() / len(truth))
    right = float(table.diag().sum() / len(truth))
    chance = float(table.sum(0).max() / len(truth))
    if best > right + 0.3 and best - chance > 0.5 * course.train_skill * (1 - chance):
        seen = (
            f"{right:.0%} of the validation answers are right, and {best:.0%} if classes are numbered otherwise there"
        )
        yield Finding("wrong_target_coding", "valid targets", seen, 0.9)


@torch.no_grad()
def _statistics(course: Course, batch: Any) -> Iterator[Finding]:
    """Find running statistics that make a network in evaluation mode another than the one that was trained."""
    patient = course.base.patient
    if patient is None or not patient.plain or not course.base.finite or course.judge.task.kind == "other":
        return
    norms = [m for m in patient.network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if not norms or len(parts_of(batch)[0]) < 8:
        return
    values = []
    with put_back(patient.network.buffers()):
        for training in (True, False):
            patient.network.eval()
            for norm in norms:
                norm.train(training)
            values.append(float(patient.measure(batch)))
    if course.below and (skill := _refreshed(course, patient, norms)) > course.base.skill + course.room:
        momenta = [m.momentum for m in norms if m.momentum is not None]
        short = any(m > 0.9 for m in momenta)
        strange = short or any(m < 0.005 for m in momenta)
        seen = f"skill {course.base.skill:.2f} becomes {skill:.2f} by the statistics of all training rows"
        if strange:
            seen += f" (momentum {max(momenta) if short else min(momenta):.3g})"
        cause = "tiny_batch_norm" if short else "optimizer_settings" if strange else "shared_state"
        if strange or (course.poor and skill - course.base.skill > 0.4 * (1 - course.base.skill)):
            yield Finding(cause, "batch normalization", seen, 0.85)
    elif course.poor and values[1] > 3 * abs(values[0]) + 0.5:
        seen = (
            f"the loss of a training batch is {values[0]:.3g} by the batch's statistics, {values[1]:.3g} by those kept"
        )
        yield Finding("shared_state", "batch normalization", seen, 0.8)


@torch.no_grad()
def _refreshed(course: Course, patient: Patient, norms: list[Any]) -> float:
    """Return the skill of the trained network with running statistics that are means over the training rows."""
    with put_back(patient.network.buffers()):
        momenta = [norm.momentum for norm in norms]
        patient.network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        for batch in islice(patient.train.batches(), 60):
            patient.forward(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return float(course.judge(patient)["skill"])


def _weights(course: Course, start: Patient) -> Iterator[Finding]:
    """Find initial weights of a strange size where the network does not learn."""
    far = strange_weights(start)
    if course.poor and far > 0.6:
        seen = f"weights start {10 ** (far + 0.45):.0f} times too large or small for the number of their inputs"
        yield Finding("initialization_scale", "initial weights", seen, 0.7)


def _schedule(course: Course) -> Iterator[Finding]:
    """Find a learning rate that is gone before half of the training, or grows without end."""
    rates, base = course.base.rates, course.base
    if len(rates) < 8 or max(rates) <= 0:
        return
    groups = [] if base.patient is None else base.patient.optimizers[0].param_groups
    meant = max((group.get("initial_lr", 0.0) for group in groups), default=0.0)
    if course.poor and max(rates) < 0.02 * meant:
        seen = f"the learning rate is {meant:.2g} to begin with, and the schedule makes at most {max(rates):.2g} of it"
        yield Finding("schedule", "optimizer", seen, 0.93)
        return
    if (way := _misread(base)) and rates[-1] < 0.7 * max(rates):
        seen = f"the rate falls from {max(rates):.2g} to {rates[-1]:.2g} while it waits for growth {way}"
        yield Finding("schedule", "optimizer", seen, 0.9)
        return
    idle = sum(rate == 0 for rate in rates) / len(rates)
    if idle > 0.4:
        seen = f"the learning rate is 0 in {idle:.0%} of the steps"
        yield Finding("schedule", "optimizer", seen, 0.93)
        return
    middle = rates[len(rates) // 3]
    if middle < 0.01 * max(rates) and course.poor:
        seen = f"the learning rate falls from {max(rates):.2g} to {middle:.2g} in a third of the training"
        yield Finding("schedule", "optimizer", seen, 0.9)
    elif rates[-1] > 20 * rates[0] and (course.poor or base.tail() > base.head()):
        seen = f"the learning rate grows from {rates[0]:.2g} to {rates[-1]:.2g}"
        yield Finding("schedule", "optimizer", seen, 0.85)


def _misread(base: Trial) -> str:
    """Return how a schedule that waits for growth is shown a loss: what falls while the training loss falls."""
    shown = [value for mode, value in base.plateaus if mode == "max"]
    if len(shown) < 3 or len(shown) < len(base.plateaus) or base.tail() >= 0.97 * base.head() or min(shown) < 0:
        return ""
    third = len(shown) // 3
    if sum(shown[-third:]) > 0.98 * sum(shown[:third]):
        return ""
    return f"(mode 'max'), shown a loss that falls from {shown[0]:.3g} to {shown[-1]:.3g}"


def _endless(course: Course) -> Iterator[Finding]:
    """Find a loss that falls and falls below zero: one that can be lowered without coming near the targets."""
    base = course.base
    if course.endless:
        low = min(v for v in base.losses if math.isfinite(v))
        seen = f"the loss goes from {base.head(1):.3g} to {low:.3g}, with no floor in sight"
        yield Finding("wrong_loss", "loss", seen, 0.9)


def _still(course: Course, start: Patient) -> Iterator[Finding]:
    """Find parameters that have hardly moved in the whole of the training."""
    base = course.base
    if base.patient is None or not course.poor or not base.finite:
        return
    pairs = list(zip(base.patient.network.parameters(), start.network.parameters(), strict=True))
    way = math.sqrt(sum(float(((a - b).detach() ** 2).sum()) for a, b in pairs))
    size = math.sqrt(sum(float((b.detach() ** 2).sum()) for _, b in pairs))
    if 0 < way < 2e-3 * size:
        seen = f"in {len(base.losses)} steps the parameters have moved by {way / size:.1e} of their size"
        yield Finding("learning_rate_too_low", "optimizer", seen, 0.8)


def _alike(course: Course, start: Patient) -> Iterator[Finding]:
    """Find weights whose units started equal, and are equal after training: they get equal gradients."""
    base = course.base
    if base.patient is None or not base.finite:
        return
    for (name, p), q in zip(base.patient.network.named_parameters(), start.network.parameters(), strict=True):
        if p.ndim != 2 or min(p.shape) < 2 or not p.requires_grad or "embed" in name.lower():
            continue
        for axis in (0, 1):
            apart = [float((w - w.narrow(axis, 0, 1)).abs().max()) for w in (p.detach(), q.detach())]
            if apart[1] != 0:
                continue
            if axis == 0 and len(p) >= 4 and (groups := _twins(p.detach(), q.detach())):
                seen = f"its {len(p)} units start with equal weights, and after training they are still {groups} only"
                yield Finding("symmetric_initialization", name, seen, 0.9)
                return
            if course.poor and apart[0] <= 0.1 * float(p.detach().abs().max()):
                seen = f"all {p.shape[axis]} units start with equal weights, and hardly differ after training"
                yield Finding("symmetric_initialization", name, seen, 0.92)
                return


def _twins(now: Tensor, start: Tensor) -> int:
    """Return how many different rows are left where each is equal to another; 0 where one is unlike, or few moved."""
    if 2 * int((now != start).any(1).sum()) < len(now) or len(now) > 4096:
        return 0
    near = 1e-5 * float(now.abs().max())
    alike = torch.cdist(now.double(), now.double(), p=math.inf) <= near
    return len(alike.unique(dim=0)) if bool((alike.sum(1) >= 2).all()) else 0


def _layers(course: Course, table: list[dict[str, Any]]) -> Iterator[Finding]:
    """Dead and saturated layers, and gradients that fade, where the network does not learn."""
    if not course.poor or not table:
        return
    for row in table:
        if row["kind"] in ("ReLU", "ReLU6") and row["dead"] > 0.9:
            yield Finding("dead_units", row["layer"], f"{row['dead']:.0%} of the units are zero for every example", 0.6)
        if row["saturated"] > 0.8 and row["kind"] in ("Sigmoid", "Tanh"):
            yield Finding(
                "saturated_units", row["layer"], f"{row['saturated']:.0%} of the values sit at the ends", 0.66
            )
    sizes = [(row["layer"], row["gradient"]) for row in table if math.isfinite(row["gradient"]) and row["gradient"] > 0]
    if len(sizes) >= 4 and sizes[0][1] < 1e-4 * sizes[-1][1]:
        seen = f"relative gradients are {sizes[0][1]:.1e} in {sizes[0][0]} and {sizes[-1][1]:.1e} in {sizes[-1][0]}"
        yield Finding("vanishing_gradients", sizes[0][0], seen, 0.7)


def _flow(course: Course, start: Patient, batch: Any) -> Iterator[Finding]:
    """Units that are dead or saturated before training, and signals that grow on their way, where it fails."""
    if not course.poor or not start.plain:
        return
    try:
        found = signals(start, batch)
        with torch.no_grad():
            output, target = start.forward(batch), start.target(batch)
    except Exception:  # a network with an unusual way of being called
        return
    for signal in silent(found):
        seen = f"{signal.dead:.0%} of the rectified units behind it are zero for every example before training"
        yield Finding("dead_units", signal.behind, seen, 0.95 if signal.dead > 0.98 else 0.8)
    for signal in squashed(found):
        seen = f"{signal.saturated:.0%} of the {signal.kind} behind it sit at the ends before training"
        yield Finding("saturated_units", signal.behind, seen, 0.66)
    inputs = parts_of(batch)[0]
    if isinstance(output, Tensor) and isinstance(target, Tensor) and inputs.is_floating_point():
        size = float(target.double().pow(2).mean().sqrt()) if course.judge.task.kind == "numbers" else 10.0
        grown = float(output.double().abs().max() / inputs.double().abs().max().clamp_min(1e-12))
        large = float(output.double().abs().max()) / max(size, 1e-12)
        if large > 1e3 and grown > 1e3:
            seen = f"signals grow {grown:.1e} times on their way, outputs reach {large:.1e} times the targets"
            yield Finding("exploding_gradients", found[-1].behind if found else "network", seen, 0.8)


@torch.no_grad()
def _collapsed(course: Course, batch: Any) -> Iterator[Finding]:
    """Find a trained network of many outputs that gives the same whatever it is shown."""
    patient = course.base.patient
    if patient is None or not patient.plain or not course.base.finite or not course.base.complete:
        return
    if course.judge.task.kind not in ("other", "reconstruction"):
        return
    inputs = patient.inputs(batch)
    if not isinstance(inputs[0], Tensor) or inputs[0].ndim < 2 or len(inputs[0]) < 4:
        return
    patient.network.eval()
    outputs, rest = [], tuple(batch[1:]) if isinstance(batch, tuple | list) else ()
    try:
        for first in (inputs[0], inputs[0].roll(1, 0)):
            torch.manual_seed(0)
            outputs.append(parts_of(patient.forward((first, *rest)))[0])
    except Exception:  # a network that is called in ways of its own
        return
    one, other = (o.double() for o in outputs)
    torch.manual_seed(1)
    again = parts_of(patient.forward((inputs[0].roll(1, 0), *rest)))[0].double()
    if again.shape == other.shape and float((again - other).abs().mean()) > 0.25 * float(other.std()):
        return  # it draws what it answers
    if one.shape != other.shape or one.ndim < 2 or len(one) != len(inputs[0]) or one[0].numel() < 8:
        return
    varied = float((inputs[0].double() - inputs[0].double().roll(1, 0)).abs().mean())
    spread, change = float(one.std()), float((one - other).abs().mean())
    if varied > 0 and spread > 0 and change < 0.02 * spread:
        seen = f"outputs change by {change / spread:.1%} of their spread when the inputs are exchanged for others"
        yield Finding("collapse", "output", seen, 0.8)


def _few_steps(course: Course, patient: Patient) -> Iterator[Finding]:
    """Find a training of a handful of steps, after which a simple model knows more."""
    steps, skill = len(course.base.losses), course.base.skill
    if any(isinstance(o, torch.optim.LBFGS) for o in patient.optimizers) or not course.base.complete or steps > 6:
        return
    if math.isfinite(course.known) and skill < course.known - 2 * course.noise:
        seen = f"{steps} steps in all; skill {skill:.2f}, where a simple model reaches {course.known:.2f}"
        yield Finding("too_few_updates", "training", seen, 0.7)


def _few_rows(course: Course, patient: Patient) -> Iterator[Finding]:
    """Find next to no rows to learn from, beside many to be judged by."""
    if patient.valid is None or not course.poor or not math.isfinite(course.train_skill):
        return
    ours, theirs = len(patient.train.rows(400)[0]), len(patient.valid.rows(400)[0])
    if ours <= 0.2 * theirs and course.train_skill > course.base.skill + 0.2:
        seen = f"skill {course.train_skill:.2f} on the {ours} rows to learn from, {course.base.skill:.2f} on others"
        yield Finding("overfitting", "train", seen, 0.85)


def _fixed_end(course: Course, start: Patient) -> Iterator[Finding]:
    """Find a last layer that stays as it was drawn while layers before it are trained."""
    trained = course.base.patient
    if not course.poor or trained is None or not start.plain:
        return
    matrices = [(n, p) for n, p in start.network.named_parameters() if p.ndim > 1]
    after = dict(trained.network.named_parameters())
    moved = [not torch.equal(after[n], p) for n, p in matrices]
    if len(moved) > 1 and any(moved) and not moved[-1] and as_drawn(start):
        cause = "not_in_optimizer" if matrices[-1][1].requires_grad else "frozen_parameters"
        place = matrices[-1][0].rpartition(".")[0] or matrices[-1][0]
        yield Finding(cause, place, "the last layer stays as it was drawn, and layers before it are trained", 0.92)


def _never_moved(course: Course, start: Patient) -> Iterator[Finding]:
    """Find weights that the user's own step leaves where they were, in all of the training."""
    trained = course.base.patient
    if trained is None or start.step is None or course.players or not course.base.complete or not course.base.finite:
        return
    held = {id(p) for o in start.optimizers for group in o.param_groups for p in group["params"]}
    after = dict(trained.network.named_parameters())
    free = [(n, p) for n, p in start.network.named_parameters() if p.requires_grad and p.ndim > 1]
    still = [(n, p) for n, p in free if torch.equal(after[n], p)]
    if still and len(still) < len(free):
        cause = "no_gradient" if any(id(p) in held for _, p in still) else "not_in_optimizer"
        seen = f"{len(still)} of {len(free)} matrices have not moved in {len(course.base.losses)} steps"
        yield Finding(cause, still[0][0].rpartition(".")[0] or still[0][0], seen, 0.6)


def _straight(course: Course, start: Patient, task: Task, batch: Any) -> Iterator[Finding]:
    """Find a linear network on data that trees, and no linear model, can tell apart."""
    trees, line = (course.reference.get(name, math.nan) for name in ("trees", "linear"))
    skill = course.base.skill
    if not trees - max(skill, line) > max(0.3, 4 * course.noise) or not start.plain:
        return
    if is_affine(start, batch, task):
        seen = f"the network is linear in its inputs: skill {skill:.2f}, a linear model {line:.2f}, trees {trees:.2f}"
        yield Finding("underfitting", "network", seen, 0.7)


def _narrow(course: Course, table: list[dict[str, Any]]) -> Iterator[Finding]:
    """Find a layer in the middle through which next to nothing passes."""
    task = course.judge.task
    kinds = ("Linear", "Conv1d", "Conv2d", "ConvTranspose2d", "LSTM", "GRU")
    layers = [row for row in table if row["kind"] in kinds]
    # the last one gives the output, and one of several heads is taken up by none
    inner = [row for k, row in enumerate(layers) if any(r["taken"] == row["width"] for r in layers[k + 1 :])]
    if not inner or task.sequence:
        return
    row = min(inner, key=lambda row: row["width"])
    lost = task.kind == "reconstruction" and course.base.skill < 0.5
    hidden = (course.poor or course.outdone) and row["width"] <= 2 < task.classes
    if (row["width"] == 1 and (lost or course.poor)) or hidden:
        seen = f"{row['width']} number an example passes through it; skill {course.base.skill:.2f}"
        yield Finding("bottleneck", row["layer"], seen, 0.75 if row["width"] == 1 else 0.65)


@torch.no_grad()
def _one_point(course: Course, start: Patient, batch: Any) -> Iterator[Finding]:
    """Find answers that training draws together to one point, while the user's own score stays where it was."""
    trained, (before, after) = course.base.patient, course.own
    if trained is None or not math.isfinite(after) or after > before + 0.05 or not course.base.finite:
        return
    if course.judge.task.kind != "other":
        return
    spreads = []
    for patient in (start, trained):
        patient.network.eval()
        try:
            answers = parts_of(patient.forward(batch))[0].double()
        except Exception:  # a network that is called in ways of its own
            return
        if answers.ndim < 2 or len(answers) < 4 or not bool(torch.isfinite(answers).all()):
            return
        spreads.append(float(answers.std(0).mean() / answers.pow(2).mean().sqrt().clamp_min(1e-12)))
    if spreads[1] < 0.05 and spreads[1] < 0.2 * spreads[0]:
        seen = f"answers to other rows differ by {spreads[1]:.1%} of their size, {spreads[0]:.1%} before training"
        yield Finding("collapse", "output", seen, 0.78)


def _against(course: Course) -> Iterator[Finding]:
    """Find a loss that falls while the user's own score falls with it."""
    base, (before, after) = course.base, course.own
    if not (math.isfinite(before) and math.isfinite(after) and base.finite and base.complete and len(base.losses) > 10):
        return
    share = 0 <= min(before, after) and max(before, after) <= 1
    fallen = 0 <= base.tail() < 0.1 * base.head()  # of a loss below zero none is ever left
    known = course.judge.task.kind != "other"
    if known and not course.base.skill > 0.3:
        return  # what does not learn is told of elsewhere
    if not known and after - before < 0.03 and -1 <= min(before, after) and before < 0.9 and fallen:
        seen = f"the loss falls from {base.head():.3g} to {base.tail():.3g}, the own score goes from {before:.3g} to "
        yield Finding("wrong_loss", "objective", f"{seen}{after:.3g}: what is lowered is not what is meant", 0.6)
        return
    lost = before - after > (0.08 if share else 0.3 * max(1.0, abs(before)))
    if lost and base.tail() < 0.95 * base.head():
        seen = f"the loss falls from {base.head():.3g} to {base.tail():.3g}, and the own score from {before:.3g} to "
        yield Finding("wrong_loss", "objective", f"{seen}{after:.3g}: what is lowered is not what is meant", 0.72)


def _result(course: Course, findings: list[Finding]) -> Iterator[Finding]:
    """Say what is left of a network that does not do what a simple model does."""
    known, skill = course.known, course.base.skill
    if not (course.poor or course.outdone) or not math.isfinite(skill):
        return
    explained = max((f.confidence for f in findings), default=0.0)
    shown = f"skill {skill:.2f} on validation rows"
    if math.isfinite(known):
        shown += f", where a simple model reaches {known:.2f}"
    if math.isfinite(course.train_skill) and course.train_skill > 0.85 and math.isfinite(known):
        yield Finding("overfitting", "training", f"{shown}; {course.train_skill:.2f} on training rows", 0.62)
    elif explained < 0.5 and course.base.complete:
        if not course.poor:
            line = course.reference["linear"]
            yield Finding(
                "underfitting", "training", f"skill {skill:.2f}, where a linear model reaches {line:.2f}", 0.55
            )
        elif math.isfinite(known) and known > 0.1:
            # counted pairs of tokens know more than a short training does, where a text repeats itself
            if "token" not in course.reference or skill < 0.25 * known:
                learned = course.train_skill  # of training rows more than simple models know, of others less
                by_heart = math.isfinite(learned) and learned > max(known + 0.1, 2 * skill)
                cause, more = ("overfitting", f"; {learned:.2f} on training rows") if by_heart else ("underfitting", "")
                yield Finding(cause, "training", shown + more, 0.65 if skill < 0.4 * known else 0.52)
        elif max(row.get("skill", -math.inf) for row in course.base.epochs) < 0.01 and course.players:
            if -0.5 < skill < -1e-6:
                return  # a score that wavers is no proof
            yield Finding("unbalanced_players", "training", f"{shown}: the user's own score does not rise", 0.6)
        elif course.pointless:
            seen = f"the trained network's loss is no lower than that of the answer zero ({course.answered[1]:.3g})"
            yield Finding("shuffled_pairs", "objective", f"{seen}: targets do not depend on inputs", 0.62)
        elif skill < 0.01:
            yield Finding("underfitting", "training", f"{shown}: nothing is learned", 0.55)
