"""What is asked of the network, read from outputs, targets and the loss as a black box.

Functions hide behind lambdas and classes, so nothing is concluded from names: a loss that does not change when all
outputs grow by one has a softmax inside; one that is zero where outputs equal targets measures a distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = [
    "LossKind",
    "OutputKind",
    "Task",
    "answers_in",
    "by_draws",
    "by_weights",
    "loss_kind",
    "output_kind",
    "task_of",
    "told_by_loss",
    "turns",
    "with_ignored",
]

TaskKind = Literal["classes", "binary", "soft", "numbers", "reconstruction", "other"]
LossKind = Literal["softmax", "log_probabilities", "sigmoid", "probabilities", "rates", "distance", "constant", "other"]
OutputKind = Literal["softmax", "log_softmax", "sigmoid", "rectified", "positive", "tanh", "free"]


@dataclass(frozen=True)
class Task:
    """What is asked.

    Attributes
    ----------
    kind : str
        ``classes`` (targets are class numbers), ``binary`` (zeros and ones of the outputs' shape), ``soft``
        (distributions over classes), ``numbers``, ``reconstruction`` (targets are the inputs) or ``other``.
    axis : int
        Of the outputs, where classes lie.
    classes : int
        Width of that axis.
    sequence : bool
        Whether each row has several targets, such as one a token.
    ignored : tuple of int
        Class numbers that the loss passes over, such as those of padding.
    balanced : bool
        Whether rare classes are to count as much as common ones, as weights in the loss say.
    """

    kind: TaskKind
    axis: int = 1
    classes: int = 0
    sequence: bool = False
    ignored: tuple[int, ...] = ()
    balanced: bool = False


def whole(values: Tensor) -> bool:
    """Whether all numbers are whole and finite."""
    return bool(torch.isfinite(values).all()) and bool((values == values.round()).all())


def task_of(output: Any, target: Any, inputs: Any = None) -> Task:
    """Return what is asked, from one batch.

    Examples
    --------
    >>> task_of(torch.randn(8, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])).kind
    'classes'
    >>> task_of(torch.randn(8, 1), torch.randn(8, 1)).kind
    'numbers'
    """
    if not isinstance(output, Tensor) or not isinstance(target, Tensor) or not output.is_floating_point():
        return Task("other")
    if isinstance(inputs, Tensor) and inputs.shape[0] == target.shape[0] and inputs.numel() == target.numel():
        if target.is_floating_point() and torch.equal(inputs.reshape(-1), target.reshape(-1)):
            return Task("reconstruction")
    if not target.is_floating_point() or target.dtype == torch.bool:
        return _of_integers(output, target)
    if output.numel() != target.numel():
        if whole(target) and output.ndim == target.ndim + 1 and output.shape[0] == target.shape[0]:
            return Task("classes", 1, output.shape[1], sequence=target.ndim > 1)
        squeezed = output.numel() == target.numel() * 2
        return Task("numbers" if squeezed else "other")
    if whole(target) and len(target.unique()) <= 2:
        if target.ndim == 2 and target.shape[1] > 2 and bool((target.sum(1) == 1).all()):
            return Task("soft", 1, target.shape[1])
        if target.ndim == 2 and target.shape[1] == 2 and bool((target.sum(1) == 1).all()):
            return Task("soft", 1, 2)
        return Task("binary")
    if target.ndim == 2 and target.shape[1] > 1 and bool((target >= 0).all()):
        if bool(((target.sum(1) - 1).abs() < 1e-3).all()):
            return Task("soft", 1, target.shape[1])
    return Task("numbers")


def answers_in(output: Any, target: Any) -> list[Tensor]:
    """Return what may be the answer among the parts of an output, such as a mean beside a variance.

    Of a tensor the tensor itself; of several parts those whose shape fits the target.
    """
    if isinstance(output, Tensor):
        return [output]
    if not isinstance(output, tuple | list) or not isinstance(target, Tensor):
        return []
    return [part for part in output if isinstance(part, Tensor) and task_of(part, target).kind != "other"]


def _of_integers(output: Tensor, target: Tensor) -> Task:
    if output.ndim == target.ndim + 1 and output.shape[0] == target.shape[0]:
        if output.shape[:-1] == target.shape:
            return Task("classes", output.ndim - 1, output.shape[-1], sequence=target.ndim > 1)
        if output.shape[2:] == target.shape[1:]:
            return Task("classes", 1, output.shape[1], sequence=target.ndim > 1)
    if output.ndim == 2 and target.numel() == output.shape[0]:
        return Task("classes", 1, output.shape[1], sequence=target.ndim > 1)
    if output.shape == target.shape and len(target.unique()) <= 2:
        return Task("binary")
    if output.numel() == target.numel() and len(target.unique()) <= 2:
        return Task("binary")
    return Task("numbers" if output.numel() == target.numel() else "other")


def output_kind(output: Tensor, task: Task, stretched: Tensor | None = None) -> OutputKind:
    """Return what activation outputs look like, from those of two batches, the second with stretched inputs."""
    both = [o.detach().double() for o in (output, stretched) if isinstance(o, Tensor)]
    flat = torch.cat([o.reshape(-1) for o in both])
    low, high = float(flat.min()), float(flat.max())
    axis = task.axis if task.kind in ("classes", "soft") else -1
    if task.kind in ("classes", "soft", "other", "numbers", "binary") and both[0].ndim > 1 and both[0].shape[axis] > 1:
        if low >= 0 and high <= 1 + 1e-5 and all(bool(((o.sum(axis) - 1).abs() < 1e-3).all()) for o in both):
            return "softmax"
        if high <= 1e-5 and all(bool((o.logsumexp(axis).abs() < 1e-3).all()) for o in both):
            return "log_softmax"
    exact = float((flat == 0).double().mean())
    if low >= 0 and high <= 1 and (stretched is not None or exact < 0.01) and exact < 0.05:
        return "sigmoid"
    if low >= 0:
        return "rectified" if exact > 0.02 else "positive"
    if low >= -1 and high <= 1 and float(flat.abs().max()) > 0.95 and low < 0:
        return "tanh"
    return "free"


def loss_kind(loss: Callable[[Any, Any], Any], output: Tensor, target: Any, task: Task) -> LossKind:
    """Return what a loss makes of outputs, by how it answers to changed ones."""

    def value(outputs: Tensor) -> float:
        try:
            with torch.no_grad():
                found = loss(outputs, target)
            return float(found) if isinstance(found, Tensor) and found.numel() == 1 else math.nan
        except (RuntimeError, ValueError, IndexError, TypeError):
            return math.nan

    noise = torch.Generator().manual_seed(0)
    free = torch.randn(output.shape, generator=noise).to(output)
    if isinstance(target, Tensor) and target.is_floating_point() and task.kind in ("numbers", "reconstruction"):
        free = free * (1 + float(target.abs().max()))  # a large target hides small changes
    base = value(free)
    inside = torch.rand(output.shape, generator=noise).to(output) * 0.8 + 0.1

    def same(a: float, b: float, scale: float = 1.0) -> bool:
        return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= 1e-4 * max(abs(a), abs(b), scale)

    if math.isfinite(base):
        if same(base, value(free * 1.7), 1e-6) and same(base, value(-free), 1e-6):
            return "constant"
        several = task.kind == "binary" and output.ndim == 2 and output.shape[1] > 1
        if same(base, value(free + 1.5)) and (task.kind in ("classes", "soft") or several):
            return "softmax"
        rise, again = value(2 * free) - base, value(3 * free) - value(2 * free)
        if same(rise, again) and same(rise, base - value(0 * free)) and task.kind in ("classes", "soft", "other"):
            return "log_probabilities"  # nothing but outputs, weighed and added
    if isinstance(target, Tensor) and target.numel() == output.numel():
        aim = target.reshape(output.shape).to(output)
        at = value(aim)
        if math.isfinite(at) and abs(at) < 1e-6 and value(aim + 1) > 1e-3 and value(aim - 1) > 1e-3:
            return "distance"
        if math.isfinite(base) and _is_sigmoid(value, output, aim):
            return "sigmoid"
    small = torch.randn(output.shape, generator=noise).to(output)  # large ones may be beyond what an exponential holds
    if not math.isfinite(base) and math.isfinite(value(inside)) and not math.isfinite(value(small)):
        return "rates" if math.isfinite(value(inside + 3)) and task.kind == "numbers" else "probabilities"
    return "other"


def _is_sigmoid(value: Callable[[Tensor], float], output: Tensor, aim: Tensor) -> bool:
    """Whether right and sure outputs cost nothing, wrong and sure ones their size, as in the logistic loss."""
    if float(aim.min()) < -1.001 or float(aim.max()) > 1.001:
        return False
    sign = torch.where(aim > 0.5, 1.0, -1.0).to(output)
    if float(aim.min()) < -0.5 and value(20 * sign) > -1e-3:
        return False  # made for targets of -1 and 1
    right, wrong, more = value(20 * sign), value(-20 * sign), value(-40 * sign)
    return right < 0.5 * wrong and wrong > 1 and abs(more / wrong - 2) < 0.3


@torch.no_grad()
def told_by_loss(task: Task, loss: Callable[[Any, Any], Any], output: Tensor, target: Tensor) -> Task:
    """Return the task as the loss has it: of metric losses outputs are no scores, of quantiles no means.

    A loss that is the same when the columns of the outputs change places takes none of them for a class. One whose
    best constant answer is far from mean and median of the targets does not ask for the targets themselves.
    """
    try:
        if task.kind == "classes" and not task.sequence and output.ndim == 2 and output.shape[1] > 2:
            free = torch.randn(output.shape, generator=torch.Generator().manual_seed(0)).to(output)
            one, turned, other = (float(loss(o, target)) for o in (free, free.roll(1, 1), 2 * free.flip(0)))
            if abs(one - turned) < 1e-5 * abs(one) and abs(one - other) > 1e-3 * abs(one):
                return Task("other")
        if task.kind == "numbers" and output.numel() == target.numel() and target.numel() >= 20:
            flat = target.double().reshape(-1)
            spread = float(flat.std())
            levels = torch.quantile(flat, torch.linspace(0.02, 0.98, 33, dtype=torch.float64))
            costs = [float(loss(torch.full_like(output, float(level)), target)) for level in levels]
            best = float(levels[min(range(len(costs)), key=costs.__getitem__)])
            if all(math.isfinite(c) for c in costs) and max(costs) > min(costs) and spread > 0:
                if min(abs(best - float(flat.mean())), abs(best - float(flat.median()))) > 0.45 * spread:
                    inner = levels[0] < best < levels[-1]
                    return Task("other") if inner else task
    except (RuntimeError, ValueError, IndexError, TypeError):
        return task
    return task


def by_weights(task: Task, loss: Callable[[Any, Any], Any], output: Tensor, counts: Tensor) -> Task:
    """Return the task, balanced where the loss weighs classes so that they count more alike than by their numbers."""
    n = task.classes
    if task.kind != "classes" or task.sequence or output.ndim != 2 or task.axis != 1 or not 2 < n <= len(counts):
        return task
    free = torch.zeros(n, n, dtype=output.dtype, requires_grad=True)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(free, torch.arange(n)), free)
    except (RuntimeError, ValueError, IndexError, TypeError):
        return task
    sizes, counts = gradient.norm(dim=1).double(), counts[:n].double()
    if not bool((sizes > 0).all()) or float(counts.min()) == 0 or float(sizes.max() / sizes.min()) < 2:
        return task
    before, after = _unevenness(counts), _unevenness(counts * sizes)
    return replace(task, balanced=after < 0.6 * before)


def by_draws(task: Task, drawn: Tensor, counts: Tensor) -> Task:
    """Return the task, balanced where training draws rare classes far more often than validation holds them."""
    if task.balanced or task.kind != "classes" or task.sequence or task.classes < 3 or drawn.is_floating_point():
        return task
    if len(counts) < task.classes or drawn.numel() < 20 * task.classes or int(drawn.min()) < 0:
        return task
    ours, theirs = torch.bincount(drawn.reshape(-1)).double(), counts.double()
    if len(ours) != len(theirs) or float(ours.min()) == 0 or float(theirs.min()) == 0:
        return task
    before, after = _unevenness(theirs), _unevenness(ours)
    return replace(task, balanced=before > math.log(4) and after < 0.4 * before)


def _unevenness(counts: Tensor) -> float:
    """Return how many times the largest is the smallest, as a logarithm."""
    return float((counts.max() / counts.min()).log())


def turns(labels: Tensor) -> tuple[int, float]:
    """Return how often neighbours have other labels, and the share of neighbours that would by chance."""
    shares = labels.unique(return_counts=True)[1].double() / len(labels)
    return int((labels[1:] != labels[:-1]).sum()), float(1 - (shares**2).sum())


def with_ignored(task: Task, loss: Callable[[Any, Any], Any], output: Tensor, target: Tensor) -> Task:
    """Return the task with the class numbers whose outputs the loss does not look at."""
    if task.kind != "classes" or target.is_floating_point():
        return task
    free = output.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(free, target), free)
    except (RuntimeError, ValueError, IndexError, TypeError):
        return task
    size = gradient.abs().sum(task.axis).reshape(-1)
    flat = target.reshape(-1)
    if size.shape != flat.shape or not bool((size > 0).any()):
        return task
    passed = [int(v) for v in flat.unique() if bool((size[flat == v] == 0).all())]
    return replace(task, ignored=tuple(passed)) if len(passed) <= 2 else task
