"""Hear what a training loop does, from outside, while it runs unchanged."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

__all__ = ["StepWatch", "clipping_by", "gradient_norm", "heard"]


@dataclass
class StepWatch:
    """What happened in each call of the step: events in order, and numbers.

    Attributes
    ----------
    events : list of list of str
        ``zero``, ``backward``, ``clip``, ``step`` in the order in which they came, a list a call.
    kept : list of bool
        Whether there already were gradients when a backward pass began.
    losses : list of float
        What each backward pass began at.
    raw, used : list of float
        Norm of the gradient after backward, and when the optimizer took it.
    moved : list of float
        How far parameters moved, relative to their size.
    training : list of list of bool
        Mode of the network at each of its calls.
    still : list of str
        Parameters that never moved.
    everywhere : float
        Steps in which every parameter of the network had a gradient for the optimizer that took it.
    reached : list of frozenset of str
        The network's children to whose parameters each backward pass brought a gradient.
    shared : int
        Steps in which the gradient of one backward pass moved two players: one whose output the other judges.
    undone : list of float
        How much of the last step of each call was taken back before the call ended: one where all of it was.
    shrunk : list of bool
        Whether parameters were made smaller after the last step of each call.
    stopped : list of str
        Parameters that moved in the first half of the calls and never in the second.
    stale : dict of int to int
        Of each optimizer that took steps, by its identity: before how many its gradients were not cleared since the
        one before.
    """

    events: list[list[str]] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    training: list[list[bool]] = field(default_factory=list)
    changed_data: bool = False
    still: list[str] = field(default_factory=list)
    everywhere: float = 0.0
    reached: list[frozenset[str]] = field(default_factory=list)
    shared: int = 0
    undone: list[float] = field(default_factory=list)
    shrunk: list[bool] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    stale: dict[int, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How often each event came in all."""
        return {name: sum(e.count(name) for e in self.events) for name in ("zero", "backward", "clip", "step")}


class _Chain:
    """Which children judge what another one made, and other inputs as well: the two players of a game."""

    def __init__(self, network: nn.Module) -> None:
        self.made: dict[int, tuple[Any, str]] = {}
        self.judged: set[tuple[str, str]] = set()
        self.others: set[str] = set()
        self.handles = [c.register_forward_hook(self._called(n)) for n, c in network.named_children()]

    def _called(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            first = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
            kept, maker = (None, "") if first is None else self.made.get(id(first), (None, ""))
            if kept is not None and kept() is first and maker != name:
                self.judged.add((maker, name))
            elif first is not None and not first.requires_grad:
                self.others.add(name)
            if isinstance(output, Tensor):
                self.made[id(output)] = (weakref.ref(output), name)  # a number may be given to another one later

        return hook

    def pairs(self) -> list[tuple[str, str]]:
        """Return maker and judge of each game."""
        return [(maker, judge) for maker, judge in self.judged if judge in self.others]


def _noted(watch: StepWatch, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that notes its calls among the events."""

    def call(*arguments: Any, **named: Any) -> Any:
        watch.events[-1].append(name)
        return function(*arguments, **named)

    return call


def _clearing(watch: StepWatch, cleared: set[int], plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``zero_grad`` of an optimizer or a module that notes whose gradients it clears."""

    def zero_grad(owner: Any, *arguments: Any, **named: Any) -> Any:
        watch.events[-1].append("zero")
        groups = getattr(owner, "param_groups", None)
        found = owner.parameters() if groups is None else (p for group in groups for p in group["params"])
        cleared.update(id(p) for p in found)
        return plain(owner, *arguments, **named)

    return zero_grad


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Return the norm of all gradients together; 0 where there are none."""
    found = [p.grad.norm() for p in parameters if p.grad is not None]
    return float(torch.stack(found).norm()) if found else 0.0


@contextmanager
def clipping_by(other: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Exchange the functions of torch that clip gradients, each for what ``other`` makes of it."""
    owners, names = (nn.utils, nn.utils.clip_grad), ("clip_grad_norm_", "clip_grad_value_")
    kept = {(owner, name): getattr(owner, name) for owner in owners for name in names}
    for (owner, name), function in kept.items():
        setattr(owner, name, other(function))
    try:
        yield
    finally:
        for (owner, name), function in kept.items():
            setattr(owner, name, function)


@contextmanager
def heard(watch: StepWatch, network: nn.Module) -> Iterator[None]:
    """Hear of every backward, zero_grad, clipping and optimizer step, and put all functions back at the end."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    backward, engine = Tensor.backward, torch.autograd.backward
    inside = [False]

    def norm() -> float:
        return gradient_norm(parameters)

    children = {n: [p for p in c.parameters() if p.requires_grad] for n, c in network.named_children()}
    chain = _Chain(network)

    def sizes() -> dict[str, float]:
        return {n: sum(float(p.grad.abs().sum()) for p in ps if p.grad is not None) for n, ps in children.items()}

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            outer, inside[0] = inside[0], True
            before, held = (norm(), sizes()) if not outer else (0.0, {})
            try:
                value = function(*arguments, **named)
            finally:
                inside[0] = outer
            if not outer:
                watch.events[-1].append("backward")
                watch.kept.append(before > 0)
                watch.raw.append(norm())
                watch.reached.append(frozenset(n for n, size in sizes().items() if size != held[n]))
                first = arguments[0] if arguments else None
                number = first if isinstance(first, Tensor) and first.numel() == 1 else torch.tensor(math.nan)
                watch.losses.append(float(number.detach()))
            return value

        return call

    known = {id(p) for p in network.parameters()}
    cleared: set[int] = set()

    def stepping(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        watch.events[-1].append("step")
        watch.used.append(norm())
        own = [p for group in optimizer.param_groups for p in group["params"] if id(p) in known]
        if own and id(optimizer) in watch.stale and not {id(p) for p in own} <= cleared:
            watch.stale[id(optimizer)] += 1
        watch.stale.setdefault(id(optimizer), 0)
        cleared.difference_update(id(p) for p in own)
        graded = [p for p in own if p.grad is not None and bool((p.grad != 0).any())]
        watch.everywhere += bool(own) and len(graded) == len(own) == len(parameters)
        moved = {n for n, ps in children.items() if any(p is q for p in ps for q in graded)}
        last = watch.reached[-1] if watch.reached else frozenset()
        watch.shared += any({maker, judge} <= last & moved for maker, judge in chain.pairs())

    owners: list[Any] = [torch.optim.Optimizer, nn.Module]
    plain = [owner.zero_grad for owner in owners]
    handles: list[Any] = [register_optimizer_step_pre_hook(stepping), *chain.handles]
    mode = network.register_forward_pre_hook(lambda m, _: watch.training[-1].append(m.training))
    Tensor.backward, torch.autograd.backward = counted(backward), counted(engine)  # type: ignore[method-assign]
    for owner in owners:
        owner.zero_grad = _clearing(watch, cleared, owner.zero_grad)
    try:
        with clipping_by(lambda function: _noted(watch, "clip", function)):
            yield
    finally:
        Tensor.backward, torch.autograd.backward = backward, engine  # type: ignore[method-assign]
        for owner, function in zip(owners, plain, strict=True):
            owner.zero_grad = function
        for handle in [*handles, mode]:
            handle.remove()
