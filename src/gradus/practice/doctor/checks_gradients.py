"""Stage two, goes on: hand-written gradients, compared with finite differences in double precision."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.signals import signals, silent, squashed

__all__ = ["check_custom_gradients", "check_steps", "check_whole_gradient"]

ROWS = 8
STEP = 1e-6


def check_custom_gradients(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield functions of the user's own whose backward is not the derivative of their forward.

    One whose forward is a step, or gives its input back, is left alone: straight-through estimates and gradient
    reversal are meant so.
    """
    kinds = _custom(patient, batch)
    for kind in kinds:
        calls = _calls(patient, batch, kind)
        for arguments in calls[:2]:
            found = _compare(kind, arguments)
            if found is not None:
                yield Finding("wrong_gradient", kind.__name__, found, 0.97)
                return


def check_whole_gradient(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield parameters whose gradient is not the derivative of the loss: part of their way to it is cut.

    Compared in double precision and evaluation mode, along random directions of one layer after the other. A loss that
    is not smooth there proves nothing: at kinks, behind rounding with a straight-through gradient, in chaotic
    recurrences.
    """
    if patient.criterion is None or _custom(patient, batch):
        return
    network = copy.deepcopy(patient.network).double().eval()  # the patient's own keeps its precision
    patient = dataclasses.replace(patient, network=network)
    few = tuple(_double(part[:ROWS]) if isinstance(part, Tensor) else part for part in batch)

    def loss() -> Tensor:
        torch.manual_seed(0)
        return patient.measure(few)

    kept = {
        id(m.weight) for m in network.modules() if getattr(m, "padding_idx", None) is not None
    }  # rows held on purpose
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad and id(p) not in kept]
    with _Straight() as heard:
        value = loss()
    if heard.found or not value.requires_grad or not bool(torch.isfinite(value)):
        return
    gradients = torch.autograd.grad(value, [p for _, p in named], allow_unused=True)
    generator = torch.Generator().manual_seed(0)
    worst, place, pair = 0.0, "", (0.0, 0.0)
    scale = max((float(g.norm()) for g in gradients if g is not None), default=0.0)
    for (name, p), gradient in zip(named, gradients, strict=True):
        if gradient is None:
            continue
        off = []
        for _ in range(2):
            way = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            way = way / way.norm()
            exact = float((gradient * way).sum())
            numeric = _slope(loss, p, way, scale)
            gap = 0.0 if numeric is None else abs(numeric - exact) / max(abs(numeric), abs(exact), 1e-2 * scale)
            off.append((gap, numeric or 0.0, exact))
        least = min(off)
        if least[0] > worst:
            worst, place, pair = least[0], name, (least[1], least[2])
    if worst > 0.1:
        seen = f"along a random direction the loss changes by {pair[0]:.3g}, its gradient says {pair[1]:.3g}"
        yield Finding("no_gradient", place.rpartition(".")[0] or place, f"{seen}: part of the graph is cut", 0.8)


class _Straight(TorchFunctionMode):
    """Notice gradients that are handed straight through a step on purpose: x + (y - x).detach()."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False
        self.kept: list[Tensor] = []  # so that no number is given to another tensor
        self.differences: dict[int, set[int]] = {}

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        value = function(*arguments, **(named or {}))
        name, given = getattr(function, "__name__", "").strip("_"), [a for a in arguments[:2] if isinstance(a, Tensor)]
        if not isinstance(value, Tensor):
            return value
        if name in ("add", "radd", "sub", "rsub") and len(given) == 2:
            for one, other in (given, given[::-1]):
                self.found |= not one.requires_grad and id(other) in self.differences.get(id(one), ())
        if name in ("sub", "rsub") and len(given) == 2:
            self._keep(value, {id(given[0]), id(given[1])}, *given)
        if name == "detach" and given and id(given[0]) in self.differences:
            self._keep(value, self.differences[id(given[0])])
        return value

    def _keep(self, value: Tensor, of: set[int], *others: Tensor) -> None:
        self.differences[id(value)] = of
        self.kept += [value, *others]


@torch.no_grad()
def _slope(loss: Callable[[], Tensor], p: Tensor, way: Tensor, scale: float) -> float | None:
    """Return the loss's derivative along a direction of a parameter; None where it has none that can be told."""
    kept = p.detach().clone()

    def at(length: float) -> float:
        p.copy_(kept + length * way)
        value = float(loss())
        p.copy_(kept)
        return value

    middle, found = at(0.0), []
    for step in (STEP, 30 * STEP):
        above, below = (at(step) - middle) / step, (middle - at(-step)) / step
        found += [above, below]
    noise = 1e-14 * max(1.0, abs(middle)) / STEP
    largest, least = max(found), min(found)
    mean = sum(found) / len(found)
    if not abs(mean) > max(20 * noise, 1e-3 * scale):
        return None  # flat, as far as can be seen: a step function, or nothing
    return mean if largest - least < 0.05 * abs(mean) else None


def check_steps(patient: Patient, batches: Sequence[Any]) -> Iterator[Finding]:
    """Yield weights whose gradient is exactly zero although the loss depends on them.

    A step (rounding, a threshold, argmax) lies between, or rectifiers that never fire.
    """
    if patient.loss is None and patient.objective is None:
        return
    network = patient.network.train()
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad and p.ndim > 1 and p.numel() > 8]
    zero = {n for n, _ in named}
    for batch in batches[:3]:
        loss = patient.measure(batch)
        if not loss.requires_grad:
            return
        found = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
        for (name, _), gradient in zip(named, found, strict=True):
            if gradient is None or bool((gradient != 0).any()):
                zero.discard(name)
    network.eval()
    generator = torch.Generator().manual_seed(0)
    for name, p in named:
        if name not in zero:
            continue
        with torch.no_grad():
            torch.manual_seed(0)
            before, kept = float(patient.measure(batches[0])), p.detach().clone()
            drawn = torch.randn(p.shape, generator=generator).to(p) / p[0].numel() ** 0.5
            after = before
            for size in (1.0, 30.0):  # the second for units far from firing
                p.copy_(size * drawn)
                torch.manual_seed(0)
                after = float(patient.measure(batches[0])) if after == before else after
            p.copy_(kept)
        if abs(after - before) > 1e-4 * max(abs(before), 1e-6):
            dead = next(silent(signals(patient, batches[0])), None)
            if dead is not None:
                seen = f"{dead.dead:.0%} of the rectified units behind it are zero for every example"
                yield Finding("dead_units", dead.behind, f"{seen}: no gradient comes through", 0.9)
                return
            stuck = next(squashed(signals(patient, batches[0])), None)
            if stuck is not None:
                seen = f"{stuck.saturated:.0%} of the {stuck.kind} behind it sit at the ends"
                yield Finding("saturated_units", stuck.behind, f"{seen}: no gradient comes through", 0.88)
                return
            seen = (
                f"the gradient of {name} is exactly 0, and the loss goes from {before:.4g} to {after:.4g} with others"
            )
            yield Finding("no_gradient", name.rpartition(".")[0] or name, f"{seen}: a step lies between", 0.93)
            return


def _custom(patient: Patient, batch: Any) -> list[Any]:
    """Return the classes of hand-written functions in the graph of the loss."""
    try:
        loss = patient.measure(batch)
    except Exception:
        return []
    found: dict[str, Any] = {}
    waiting, known = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in known:
            continue
        known.add(node)
        kind = getattr(type(node), "_forward_cls", None) or getattr(node, "_forward_cls", None)
        if kind is not None:
            found[kind.__name__] = kind
        waiting += [following for following, _ in node.next_functions]
    return list(found.values())


def _calls(patient: Patient, batch: Any, kind: Any) -> list[tuple[Any, ...]]:
    """Return the arguments with which a function is called in one pass."""
    calls: list[tuple[Any, ...]] = []
    own = kind.__dict__.get("apply")
    apply = kind.apply

    def heard(*arguments: Any) -> Any:
        calls.append(arguments)
        return apply(*arguments)

    kind.apply = staticmethod(heard)
    try:
        with torch.no_grad():
            patient.measure(batch)
    except Exception:
        return []
    finally:
        if own is None:
            del kind.apply
        else:
            kind.apply = own
    return calls


def _compare(kind: Any, arguments: tuple[Any, ...]) -> str | None:
    """Return how a backward differs from finite differences along random directions; None where it agrees."""
    generator = torch.Generator().manual_seed(0)
    exact = [_double(a) for a in arguments]
    free = [i for i, a in enumerate(exact) if isinstance(a, Tensor) and a.is_floating_point()]

    def run(values: list[Any]) -> Tensor:
        output = kind.apply(*values)
        return output[0] if isinstance(output, tuple) else output

    try:
        for i in free:
            leaf = exact[i].clone().requires_grad_()
            values = [*exact[:i], leaf, *exact[i + 1 :]]
            output = run(values)
            if not output.requires_grad:
                continue
            if output.shape == leaf.shape and torch.equal(output, leaf):
                return None
            weights = torch.randn(output.shape, generator=generator, dtype=torch.float64)
            (gradient,) = torch.autograd.grad((output * weights).sum(), leaf, allow_unused=True)
            if gradient is None:
                continue
            pairs = []
            for _ in range(3):
                way = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
                sides = [
                    float((run([*exact[:i], exact[i] + sign * STEP * way, *exact[i + 1 :]]) * weights).sum())
                    for sign in (1, -1)
                ]
                pairs.append(((sides[0] - sides[1]) / (2 * STEP), float((gradient * way).sum())))
            size = max(abs(numeric) for numeric, _ in pairs)
            if size < 1e-9:
                continue
            wrong = [(n, g) for n, g in pairs if abs(n - g) > 0.02 * max(abs(n), abs(g), 0.1 * size)]
            if len(wrong) >= 2:
                n, g = wrong[0]
                return f"argument {i}: along a random direction backward gives {g:.4g}, finite differences {n:.4g}"
    except Exception:
        return None
    return None


def _double(value: Any) -> Any:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return value.detach().double()
