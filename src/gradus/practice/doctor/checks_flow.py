"""Stage two, goes on: what a gradient comes back to, which targets cost, what is broadcast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradus.practice.doctor.checks_compared import Compared
from gradus.practice.doctor.findings import Finding, as_far_as_they_go
from gradus.practice.doctor.patient import Patient, parts_of
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.weights import put_back

__all__ = ["Shapes", "check_flow"]

MOST = 64  # rows that are asked


def check_flow(patient: Patient, task: Task, batch: Any) -> Iterator[Finding]:
    """Yield broadcasts by accident, gradients that do not come back, and targets that cost nothing."""
    yield from as_far_as_they_go([
        lambda: _broadcast(patient, batch), lambda: _renamed_axes(patient, batch), lambda: _drawn(patient, batch),
        lambda: _unheard(patient, task, batch),
        lambda: _overbearing(patient, batch), lambda: _cut(patient, batch), lambda: _crossed(patient, batch),
    ])  # fmt: skip


# -- shapes ----------------------------------------------------------------------------------------------------------


class Shapes(TorchFunctionMode):
    """Note where numbers of shape (n, 1) meet numbers of shape (n,) and become (n, n), unless an axis was put in.

    With ``graded`` only where a gradient goes back to one of the two, as to answers that are compared with targets.
    """

    WAYS = (
        "unsqueeze",
        "__getitem__",
        "expand",
        "view",
        "reshape",
        "t",
        "transpose",
        "cat",
        "stack",
        "diag",
        "__get__",
    )

    def __init__(self, n: int, graded: bool = True) -> None:
        super().__init__()
        self.n, self.graded, self.found = n, graded, ""
        self.meant: dict[int, Tensor] = {}
        self.products: dict[int, Tensor] = {}

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        value = function(*arguments, **(named or {}))
        name = getattr(function, "__name__", "")
        reduced = (named or {}).get("keepdim") is True or (len(arguments) > 2 and arguments[2] is True)
        if (name in self.WAYS or reduced) and isinstance(value, Tensor) and value.shape == (self.n, 1):
            self.meant[id(value)] = value  # kept, so that the number is not given to another
        if name in ("mean", "sum") and len(arguments) == 1 and not named and id(arguments[0]) in self.products:
            self.found = self.found or "mul"  # the mean of an outer product is the product of the means
        pair = [a for a in arguments[:2] if isinstance(a, Tensor) and (a.is_floating_point() or not self.graded)]
        if len(pair) == 2 and {tuple(a.shape) for a in pair} == {(self.n, 1), (self.n,)}:
            column = pair[0] if pair[0].ndim == 2 else pair[1]
            row = pair[1] if column is pair[0] else pair[0]
            if name in ("mul", "__mul__", "__rmul__", "multiply") and isinstance(value, Tensor):
                self.products[id(value)] = value
            whole = not isinstance(value, Tensor) or value.shape == (self.n, self.n) or value.ndim == 0
            one_sided = column.requires_grad != row.requires_grad or not self.graded
            if whole and id(column) not in self.meant and one_sided:
                self.found = self.found or name.strip("_")
        return value


def _broadcast(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find (n, 1) against (n,) anywhere in the objective or the step, for two numbers of rows n."""
    parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    if not all(isinstance(part, Tensor) and part.ndim and len(part) == len(parts[0]) for part in parts):
        return
    n = len(parts[0])
    if n < 4:
        return
    patient.network.train()
    names = []
    for rows in (n, n - 1):
        few = tuple(part[:rows] for part in parts)
        given = few if isinstance(batch, tuple | list) else few[0]
        with Shapes(rows) as heard:
            patient.take(given)
        names.append(heard.found)
    if all(names):
        seen = f"in {names[0]!r} numbers of shape ({n}, 1) and ({n},) become ({n}, {n})"
        yield Finding("target_broadcast", "output and target", f"{seen}: each answer meets every target", 0.95)


class Reshaped(TorchFunctionMode):
    """Note where a reshape gives the lengths of a tensor's axes to other axes, and moves no number."""

    NAMES = ("view", "reshape", "view_as", "reshape_as")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        value = function(*arguments, **(named or {}))
        name, given = getattr(function, "__name__", ""), arguments[0] if arguments else None
        if name in self.NAMES and isinstance(given, Tensor) and isinstance(value, Tensor):
            before, after = ([n for n in t.shape if n > 1] for t in (given, value))
            if before != after and sorted(before) == sorted(after) and bool((given != given.reshape(-1)[0]).any()):
                self.found.append((name, tuple(given.shape), tuple(value.shape)))
        return value


def _renamed_axes(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find a reshape that stands where axes are to change places, on the way from the inputs to the loss."""
    patient.network.train()
    with Reshaped() as heard:
        patient.take(batch)
    if heard.found:
        name, before, after = heard.found[0]
        seen = f"{name!r} makes {after} of {before}: the axes have new names, and the numbers stay where they were"
        yield Finding("scrambled_inputs", "network", seen, 0.93)


# -- gradients -------------------------------------------------------------------------------------------------------


def _drawn(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find draws that cut the graph where the distribution could draw through it, and no score stands for them."""
    if patient.loss is None and patient.objective is None:
        return
    kinds = [
        kind for kind in vars(torch.distributions).values()
        if isinstance(kind, type) and issubclass(kind, torch.distributions.Distribution) and "sample" in vars(kind)
        and isinstance(getattr(kind, "has_rsample", False), bool) and kind.has_rsample
    ]  # fmt: skip
    kept = {kind: kind.__dict__["sample"] for kind in {*kinds, torch.distributions.Distribution}}
    cut: list[str] = []
    given: list[Tensor] = []

    def heard(plain: Callable[..., Any]) -> Callable[..., Any]:
        def sample(self: Any, *arguments: Any, **named: Any) -> Any:
            value = plain(self, *arguments, **named)
            free = [v for v in vars(self).values() if isinstance(v, Tensor) and v.requires_grad]
            if self.has_rsample and torch.is_grad_enabled() and free:
                cut.append(type(self).__name__)
                given.extend(free)
            return value

        return sample

    gradients: list[list[Tensor | None]] = []
    try:
        for kind, plain in kept.items():
            kind.sample = heard(plain)  # type: ignore[attr-defined]
        patient.network.eval()
        for seed in (0, 1):
            given.clear()
            torch.manual_seed(seed)
            loss = patient.measure(batch)
            if not given or not loss.requires_grad:
                return
            gradients.append(list(torch.autograd.grad(loss, given, allow_unused=True)))
    finally:
        for kind, plain in kept.items():
            kind.sample = plain  # type: ignore[attr-defined]
    # what stands for a draw, as a score does, changes with it; a divergence from a prior does not
    scored = any(
        a is not None and b is not None and float((a - b).abs().max()) > 1e-4 * float(a.abs().max())
        for a, b in zip(*gradients, strict=False)
    )
    if cut and not scored:
        seen = f"{cut[0]}.sample() draws without a gradient from parameters that need one; rsample() gives it"
        yield Finding("no_gradient", "sample", seen, 0.93)


def _answers(patient: Patient, batch: Any, seed: int = 0) -> list[Tensor]:
    """Return the numbers that a network answers, under the same draws each time."""
    torch.manual_seed(seed)
    return [o for o in parts_of(patient.forward(batch)) if o.is_floating_point()]


def _squares(outputs: list[Tensor]) -> Tensor:
    return torch.stack([(o.double() ** 2).sum() for o in outputs]).sum()


class _Entry:
    """Put a leaf in place of what enters the network: its first numbers, or what its first embedding gives."""

    def __init__(self, network: nn.Module, tokens: bool) -> None:
        self.leaf: Tensor | None = None
        self.handles = []
        if tokens:
            first = next((m for m in network.modules() if isinstance(m, nn.Embedding)), None)
            if first is not None:
                self.handles.append(first.register_forward_hook(self._replace))

    def _replace(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if self.leaf is not None:
            return output
        self.leaf = output.detach().clone().requires_grad_()
        return self.leaf

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def _cut(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find answers that change with the inputs by way of parameters that learn, to which no gradient comes back."""
    if not isinstance(batch, tuple | list) or not isinstance(batch[0], Tensor) or len(batch[0]) < 4:
        return
    few = tuple(part[:MOST] if isinstance(part, Tensor) else part for part in batch)
    inputs = few[0]
    tokens = not inputs.is_floating_point()
    if not tokens and inputs.ndim < 2:
        return
    network = patient.network.eval()
    entry = _Entry(network, tokens)
    leaf = None
    try:
        if not tokens:
            leaf = inputs.detach().clone().requires_grad_()
            few = (leaf, *few[1:])
        outputs = _answers(patient, few)
    finally:
        entry.close()
    leaf = entry.leaf if tokens else leaf
    if leaf is None or not outputs or leaf.ndim < 2 or leaf.shape[0] != inputs.shape[0]:
        return
    generator = torch.Generator().manual_seed(0)
    total = sum((o * torch.randn(o.shape, generator=generator).to(o)).sum() for o in outputs)
    gradient = torch.zeros_like(leaf)
    if isinstance(total, Tensor) and total.requires_grad:
        found = torch.autograd.grad(total, leaf, allow_unused=True)[0]
        gradient = gradient if found is None else found
    if not bool((gradient != 0).any()):
        if _moves(patient, few, outputs) and _behind(patient, few):
            seen = "outputs change with the inputs, and no gradient comes back from them to the inputs"
            yield Finding("no_gradient", "network", f"{seen}: the first layers learn nothing from the loss", 0.92)
        return
    yield from _forgotten(patient, few, gradient, outputs[0])


def _crossed(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find a loss that compares the target of a row with the answers to other rows."""
    if not isinstance(batch, tuple | list) or not all(isinstance(part, Tensor) for part in batch):
        return
    inputs, target = batch[0], batch[-1]
    if len(batch) < 2 or inputs.ndim < 2 or target.ndim < 1 or len(inputs) < 4 or len(inputs) != len(target):
        return
    tokens = not inputs.is_floating_point()
    patient.network.eval()
    with torch.no_grad(), Compared() as heard:
        patient.measure(batch)
    told = [pair for name, pair in zip(heard.names, heard.pairs, strict=True) if "sub" not in name]
    if not any(_row_by_row(*pair) and _same_numbers(pair[1], target) for pair in told):
        return  # the target is not what answers are compared with
    for row in (0, len(target) // 2):
        other = next((k for k in range(len(target)) if not torch.equal(target[k], target[row])), None)
        if other is None:
            return
        changed, found = target.clone(), []
        changed[row] = target[other]
        for aim in (target, changed):
            entry = _Entry(patient.network, tokens)
            try:
                leaf = None if tokens else inputs.detach().clone().requires_grad_()
                torch.manual_seed(0)
                loss = patient.measure((inputs if leaf is None else leaf, *batch[1:-1], aim))
            finally:
                entry.close()
            leaf = entry.leaf if tokens else leaf
            if leaf is None or not loss.requires_grad:
                return
            gradient = torch.autograd.grad(loss, leaf, allow_unused=True)[0]
            if gradient is None:
                return
            if gradient.ndim > 2 and gradient.shape[1] == len(inputs) != gradient.shape[0]:
                gradient = gradient.transpose(0, 1)  # time comes first
            if len(gradient) != len(inputs):
                return
            found.append(gradient.double().reshape(len(inputs), -1))
        moved = (found[1] - found[0]).norm(dim=1)
        if not float(moved.sum()) > 0 or float(moved[row] / moved.sum()) > 0.1:
            return
    seen = f"another target of row {row} changes the gradient of other rows' inputs, and of its own hardly at all"
    yield Finding("shuffled_pairs", "loss", f"{seen}: answers meet the targets of other rows", 0.93)


def _row_by_row(scores: Tensor, aim: Tensor) -> bool:
    """Whether a loss meets scores and targets one by one, a class number with its row of scores."""
    named = not aim.is_floating_point() and scores.ndim == aim.ndim + 1 and len(scores) == len(aim)
    return scores.shape == aim.shape or named


def _same_numbers(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, in whatever order."""
    return one.numel() == other.numel() and torch.equal(
        one.reshape(-1).double().sort().values, other.reshape(-1).double().sort().values
    )


@torch.no_grad()
def _moves(patient: Patient, batch: Any, outputs: list[Tensor]) -> bool:
    """Whether outputs change when rows are exchanged."""
    again = _answers(patient, (batch[0].detach().roll(1, 0), *batch[1:]))
    return any(
        a.shape == b.shape and float((a - b.detach()).abs().mean()) > 1e-3 * float(b.detach().abs().mean())
        for a, b in zip(again, outputs, strict=False)
    )


def _behind(patient: Patient, batch: Any) -> bool:
    """Whether parameters that the optimizer moves change the outputs, and get no gradient from them.

    Those that the objective moves by another way are meant so, unless outputs are to give the inputs back.
    """
    held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
    named = [p for p in patient.network.parameters() if p.requires_grad and id(p) in held and p.ndim > 1]
    batch = (batch[0].detach(), *batch[1:])
    outputs = _answers(patient, batch)
    drawn = any(not torch.allclose(a, b, rtol=1e-3) for a, b in zip(_answers(patient, batch, 1), outputs, strict=False))
    if drawn or not any(o.shape == batch[0].shape for o in outputs):
        torch.manual_seed(0)
        patient.network.train()
        loss = patient.measure(batch)
        patient.network.eval()
        reached = torch.autograd.grad(loss, named, allow_unused=True) if loss.requires_grad else [None] * len(named)
        named = [p for p, g in zip(named, reached, strict=True) if g is None or not bool((g != 0).any())]
        if not named:
            return False
        outputs = _answers(patient, batch)
    total = _squares(outputs)
    found = torch.autograd.grad(total, named, allow_unused=True) if total.requires_grad else [None] * len(named)
    before = float(total.detach())
    for p, gradient in zip(named, found, strict=True):
        if gradient is not None and bool((gradient != 0).any()):
            continue
        with torch.no_grad(), put_back([p]):
            p.add_(0.5 * p.std().clamp_min(1e-3) * torch.randn_like(p))
            after = float(_squares(_answers(patient, batch)))
        if abs(after - before) > 1e-4 * max(abs(before), 1e-9):
            return True
    return False


@torch.no_grad()
def _forgotten(patient: Patient, batch: Any, gradient: Tensor, output: Tensor) -> Iterator[Finding]:
    """Find places of a sequence that change the answer, and get no gradient."""
    inputs = batch[0].detach()
    if gradient.ndim != 3 or inputs.ndim < 2 or gradient.shape[1] != inputs.shape[1] or gradient.shape[1] < 4:
        return
    silent = (gradient == 0).all(2).all(0)
    if float(silent.double().mean()) < 0.6 or bool(silent.all()):
        return
    other = inputs.clone()
    other[:, silent] = inputs[:, silent].roll(1, 0)
    again = _answers(patient, (other, *batch[1:]))[0]
    if again.shape == output.shape and torch.equal(again, output):
        return
    change = float((again - output).abs().mean()) / max(float((output - output.mean(0)).abs().mean()), 1e-12)
    if change > 0.02:
        share = float(silent.double().mean())
        seen = f"{share:.0%} of the places get no gradient, and change the answers by {change:.2f} of their spread"
        yield Finding("no_gradient", "network", f"{seen}: the state is cut on its way", 0.9)


# -- targets ---------------------------------------------------------------------------------------------------------


def _unheard(patient: Patient, task: Task, batch: Any) -> Iterator[Finding]:
    """Find values of the target whose rows cost nothing, whatever the weights."""
    if not isinstance(batch, tuple | list) or len(batch) < 2 or not isinstance(batch[-1], Tensor):
        return
    batch = _larger(patient, batch)
    target = batch[-1]
    if target.numel() != len(target) or len(target) < 8 or not all(isinstance(p, Tensor) for p in batch):
        return
    values, counts = target.reshape(-1).unique(return_counts=True)
    if not 2 <= len(values) <= 12:
        return
    network = patient.network.eval()
    generator = torch.Generator().manual_seed(0)
    silent = {float(v) for v, c in zip(values, counts, strict=True) if int(c) >= 3 and float(v) >= 0}
    loud = 0.0  # the largest relative change that rows of other targets make

    def cost(inputs: Tensor) -> float:
        torch.manual_seed(0)
        return float(patient.measure((inputs, *batch[1:])).detach())

    with put_back(network.parameters()) as pairs:
        for shrink, scale in ((1.0, 0.0), (1.0, 0.5), (1.0, 2.0), (0.01, 0.01), (0.0, 0.1)):
            network.train(scale == 0.5 and not _by_batch(network))  # answers may be cut off in evaluation alone
            with torch.no_grad():
                for p, value in pairs:
                    drawn = torch.randn(p.shape, generator=generator).to(p)
                    p.copy_(shrink * value + scale * value.abs().mean() * drawn)
            whole = cost(batch[0])
            for label in list(silent):
                rows = (target.reshape(-1) == label).nonzero()[:, 0]
                others = torch.randint(len(target), (len(rows),), generator=generator)
                other = batch[0].clone()
                other[rows] = batch[0][others]
                if (made := cost(other)) != whole:
                    silent.discard(label)
                    loud = max(loud, abs(made - whole) / max(abs(whole), 1e-12))
    judged = patient.valid.rows(2000)[-1] if patient.valid is not None else target
    silent = {label for label in silent if bool((judged == label).any())}  # one that is never judged is no label
    if silent and loud > 1e-3:  # of a network that passes nothing on, no target is heard
        least = min(silent)
        share = float((target == least).double().mean())
        seen = f"rows with target {least:g} ({share:.0%} of a batch) cost nothing, whatever the weights are"
        yield Finding("wrong_target_coding", "targets", seen, 0.92)


def _larger(patient: Patient, batch: Any) -> Any:
    """Return a few batches as one, where they are tensors of rows, so that rare targets occur."""
    found = [batch, *islice(patient.train.batches(torch.Generator().manual_seed(1)), 3)]
    shapes = [[p.shape[1:] if isinstance(p, Tensor) and p.ndim else None for p in parts] for parts in found]
    if any(None in shape or shape != shapes[0] for shape in shapes):
        return batch
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _by_batch(network: nn.Module) -> bool:
    """Whether a network in training mode answers a row by the others too."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


@torch.no_grad()
def _overbearing(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find one of several targets on so large a scale that it makes all of the loss."""
    if not isinstance(batch, tuple | list) or len(batch) < 2 or not all(isinstance(p, Tensor) for p in batch):
        return
    target = batch[-1]
    if target.ndim != 2 or not 2 <= target.shape[1] <= 20 or not target.is_floating_point():
        return
    sizes = target.double().pow(2).mean(0).sqrt()
    largest = int(sizes.argmax())
    others = [float(s) for k, s in enumerate(sizes) if k != largest]
    if float(sizes[largest]) < 30 or float(sizes[largest]) < 30 * max(*others, 1e-12):
        return
    patient.network.eval()
    blank = target.clone()
    blank[:, largest] = 0
    with_it, without = (float(patient.measure((*batch[:-1], t))) for t in (target, blank))
    if with_it > 100 * abs(without):
        seen = f"target {largest}, of size {float(sizes[largest]):.3g} beside {max(others):.3g}, makes "
        yield Finding("target_scale", "targets", f"{seen}{1 - without / with_it:.1%} of the loss", 0.85)
