"""Treatments of what happens around a step: rates that fall, gradients that are clipped or cut, losses that are odd."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradus.practice.doctor.hearing import clipping_by, gradient_norm
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.task import LossKind, OutputKind, Task, answers_in, loss_kind, output_kind, task_of

__all__ = [
    "adaptive",
    "canonical",
    "clipped",
    "cuts",
    "held_rate",
    "odd_loss",
    "one_rate",
    "plain_loss",
    "small_tables",
    "tables_at_one",
    "unclipped",
    "uncut",
    "uneven_rates",
]

RATE = 1e-3


# -- rates -----------------------------------------------------------------------------------------------------------


def held_rate(patient: Patient) -> Patient:
    """Give every step the learning rate of the first, whatever a schedule makes of it."""
    first = [[group["lr"] for group in optimizer.param_groups] for optimizer in patient.optimizers]

    @contextlib.contextmanager
    def around(asked: Patient) -> Iterator[None]:
        for optimizer, rates in zip(asked.optimizers, first, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        yield

    return replace(patient, around=(*patient.around, around))


def one_rate(patient: Patient) -> Patient:
    """Give all groups of parameters the largest of their rates."""
    for optimizer in patient.optimizers:
        top = max(group["lr"] for group in optimizer.param_groups)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = top
    return patient


def uneven_rates(patient: Patient) -> float:
    """Return one where groups of parameters learn at rates of which one is twenty times another."""
    rates = [group["lr"] for optimizer in patient.optimizers for group in optimizer.param_groups]
    return 1.0 if len(rates) > 1 and len(patient.optimizers) == 1 and max(rates) > 20 * min(rates) else 0.0


def adaptive(patient: Patient) -> Patient | None:
    """Let the only optimizer step as Adam does, at its usual rate; outside steps it stays as it is."""
    if len(patient.optimizers) != 1:
        return None
    optimizer = patient.optimizers[0]
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = RATE
    inner = torch.optim.Adam([p for group in optimizer.param_groups for p in group["params"]], lr=RATE)

    def step(_: Any, closure: Callable[[], Any] | None = None) -> Any:
        return inner.step(closure)

    @contextlib.contextmanager
    def around(_: Patient) -> Iterator[None]:
        own = vars(optimizer)
        kept = {name: own[name] for name in ("step",) if name in own}  # a schedule puts its own there
        own["step"] = MethodType(step, optimizer)
        try:
            yield
        finally:
            del own["step"]
            own |= kept

    return replace(patient, around=(*patient.around, around))


# -- gradients -------------------------------------------------------------------------------------------------------


def _without_clipping(_: Patient) -> contextlib.AbstractContextManager[None]:
    return clipping_by(lambda function: lambda *_, **__: torch.zeros(()))


def unclipped(patient: Patient) -> Patient | None:
    """Let clipping do nothing, where a program calls it by the names of torch."""
    return None if patient.step is None else replace(patient, around=(*patient.around, _without_clipping))


def clipped(patient: Patient) -> float:
    """Return 0.8 where the program's own step clips gradients, by the names of torch, to less than a fiftieth.

    By value to less than a tenth: it also makes all entries alike, so that a larger rate does not make up for it.
    """
    if patient.step is None:
        return 0.0
    calls: list[float] = []

    def told(function: Callable[..., Any]) -> Callable[..., Any]:
        def clip(*arguments: Any, **named: Any) -> Any:
            before = gradient_norm(patient.network.parameters())
            size = function(*arguments, **named)
            if isinstance(size, Tensor):  # of a norm; clipping by value tells none
                most = named.get("max_norm", arguments[1] if len(arguments) > 1 else 1.0)
                calls.append(float(most) / max(float(size), 1e-12))
            elif before > 0:
                calls.append(0.2 * gradient_norm(patient.network.parameters()) / before)
            return size

        return clip

    try:
        patient.network.train()
        with clipping_by(told):
            patient.advance(patient.train.first())
    except Exception:  # a step that cannot be taken alone
        return 0.0
    return 0.8 if calls and min(calls) < 0.02 else 0.0


class _Cuts(TorchFunctionMode):
    """Count where numbers leave the graph, and with ``through`` keep them in it."""

    def __init__(self, through: bool) -> None:
        super().__init__()
        self.through, self.count = through, 0

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        if getattr(function, "__name__", "") in ("detach", "detach_") and arguments:
            x = arguments[0]
            if isinstance(x, Tensor) and x.requires_grad and not x.is_leaf and x.numel() > 1:
                self.count += 1
                if self.through:
                    return x
        return function(*arguments, **named)


@contextlib.contextmanager
def _through(_: Patient) -> Iterator[None]:
    with _Cuts(through=True):
        yield


def uncut(patient: Patient) -> Patient:
    """Let gradients pass where the program detaches numbers."""
    return replace(patient, around=(*patient.around, _through))


def cuts(patient: Patient) -> float:
    """Return 0.6 where a pass in training detaches numbers that carry gradients."""
    batch = patient.train.first()
    patient.network.train()
    try:
        with _Cuts(through=False) as heard:
            patient.advance(batch)
    except Exception:  # a program that cannot be asked so
        return 0.0
    return 0.6 if heard.count else 0.0


# -- tables of numbers -----------------------------------------------------------------------------------------------


@torch.no_grad()
def small_tables(patient: Patient) -> Patient:
    """Start embeddings at a tenth of their size."""
    for module in patient.network.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.weight.requires_grad:
            module.weight.mul_(0.1)
    return patient


def tables_at_one(patient: Patient) -> float:
    """Return 0.5 where embeddings that learn start at a spread of about one, as torch draws them."""
    found = [m.weight for m in patient.network.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    large = [w for w in found if w.requires_grad and w.shape[1] > 1 and float(w.detach().std()) > 0.5]
    return 0.5 if large else 0.0


# -- the loss --------------------------------------------------------------------------------------------------------


def _asked(patient: Patient) -> tuple[Task, Tensor, Tensor, bool] | None:
    """Return the task, the answer to a batch, its target, and whether the output has other parts as well."""
    batch = patient.train.first()
    if patient.criterion is None:
        return None
    patient.network.eval()
    with torch.no_grad():
        output, target = patient.forward(batch), patient.target(batch)
    found = answers_in(output, target)
    if not found or not isinstance(target, Tensor):
        return None
    several = not isinstance(output, Tensor)
    return task_of(found[0], target, patient.inputs(batch)[0]), found[0], target, several


def plain_loss(patient: Patient) -> Patient | None:
    """Train by the usual loss of the task, where outputs are raw scores or numbers; by a plain step.

    Cross-entropy for classes, its logistic form for zeros and ones, squared error for numbers; of probabilities that
    are compared with a one among zeros, the logarithm of the right one. Of an output of several parts the first that
    may be the answer counts.
    """
    found = _asked(patient)
    if found is None or len(patient.optimizers) != 1 or patient.criterion is None:
        return None
    task, output, target, several = found
    wants = "other" if several else loss_kind(patient.criterion, output, target, task)
    usual = _usual(task, output_kind(output, task), wants, output, target)
    if usual is None:
        return None

    def of_answer(output: Any, target: Tensor) -> Tensor:
        return usual(answers_in(output, target)[0], target)

    return replace(patient, loss=of_answer if several else usual, objective=None, step=None, implied=None)


def _usual(
    task: Task, kind: OutputKind, wants: LossKind, output: Tensor, target: Tensor
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the usual loss of a task for such outputs; None where there is none, or it is another kind of task."""
    if kind == "softmax":
        if task.sequence or output.ndim != 2 or (task.kind, wants) not in (("soft", "distance"), ("classes", "other")):
            return None
        return _named_chance
    if kind == "sigmoid":
        fits = task.kind == "soft" and wants in ("distance", "other") and output.shape == target.shape
        return _chances if fits else None
    if kind not in ("free", "positive", "rectified"):
        return None
    if task.kind == "classes" and not task.sequence and wants in ("softmax", "other"):
        axis = task.axis

        def scores(output: Tensor, target: Tensor) -> Tensor:
            moved = output.movedim(axis, 1)
            return nn.functional.cross_entropy(moved, target.reshape(len(moved), *moved.shape[2:]).long())

        return scores
    if task.kind == "binary" and wants in ("sigmoid", "other"):
        return _logistic
    if task.kind == "numbers" and output.numel() == target.numel() and wants in ("distance", "other"):
        return _squared
    return None


def _named_chance(output: Tensor, target: Tensor) -> Tensor:
    named = target.argmax(1) if target.is_floating_point() else target.reshape(len(output))
    return nn.functional.nll_loss(output.clamp_min(1e-9).log(), named.long())


def _chances(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy(output.clamp(1e-6, 1 - 1e-6), target.to(output))


def _logistic(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(output, target.reshape(output.shape).float())


def _squared(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.mse_loss(output, target.reshape(output.shape).to(output))


def odd_loss(patient: Patient) -> float:
    """Return 0.3 where the loss is not the usual one of its task, by its value on a batch; more of probabilities.

    The gradient of a squared error of many probabilities is next to nothing.
    """
    other = plain_loss(patient)
    if other is None or other.loss is None:
        return 0.0
    batch = patient.train.first()
    patient.network.eval()
    try:
        with torch.no_grad():
            ours, usual = float(patient.measure(batch)), float(other.measure(batch))
    except Exception:  # a loss that asks for more
        return 0.0
    if abs(ours - usual) <= 1e-3 * max(abs(ours), abs(usual), 1e-6):
        return 0.0
    found = _asked(patient)
    return 0.9 if found is not None and output_kind(found[1], found[0]) in ("softmax", "sigmoid") else 0.3


def canonical(patient: Patient) -> Patient | None:
    """Train as a careful colleague would: plain steps, the usual loss, Adam at its usual rate, no schedule."""
    usual = plain_loss(patient)
    if usual is None and patient.step is not None:
        usual = replace(patient, step=None) if patient.criterion is not None or patient.objective is not None else None
    return adaptive(usual if usual is not None else patient)
