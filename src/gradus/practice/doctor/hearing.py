"""Hear what a training loop does, from outside, while it runs unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

__all__ = ["StepWatch", "heard"]


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

    @property
    def counts(self) -> dict[str, int]:
        """How often each event came in all."""
        return {name: sum(e.count(name) for e in self.events) for name in ("zero", "backward", "clip", "step")}


@contextmanager
def heard(watch: StepWatch, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[None]:
    """Hear of every backward, zero_grad, clipping and optimizer step, and put all functions back at the end."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    backward, engine = Tensor.backward, torch.autograd.backward
    clips = {name: getattr(nn.utils, name) for name in ("clip_grad_norm_", "clip_grad_value_")}
    inside = [False]

    def norm() -> float:
        found = [p.grad.norm() for p in parameters if p.grad is not None]
        return float(torch.stack(found).norm()) if found else 0.0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            outer, inside[0] = inside[0], True
            before = norm() if not outer else 0.0
            try:
                value = function(*arguments, **named)
            finally:
                inside[0] = outer
            if not outer:
                watch.events[-1].append("backward")
                watch.kept.append(before > 0)
                watch.raw.append(norm())
                first = arguments[0] if arguments else None
                number = first if isinstance(first, Tensor) and first.numel() == 1 else torch.tensor(math.nan)
                watch.losses.append(float(number.detach()))
            return value

        return call

    def clip(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            watch.events[-1].append("clip")
            return function(*arguments, **named)

        return call

    def cleared(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            watch.events[-1].append("zero")
            return function(*arguments, **named)

        return call

    known = {id(p) for p in network.parameters()}

    def stepping(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        watch.events[-1].append("step")
        watch.used.append(norm())
        own = [p for group in optimizer.param_groups for p in group["params"] if id(p) in known]
        graded = [p for p in own if p.grad is not None and bool((p.grad != 0).any())]
        watch.everywhere += bool(own) and len(graded) == len(own) == len(parameters)

    owners: list[Any] = [*optimizers, network, *network.children()]
    handles: list[Any] = [register_optimizer_step_pre_hook(stepping)]
    mode = network.register_forward_pre_hook(lambda m, _: watch.training[-1].append(m.training))
    Tensor.backward, torch.autograd.backward = counted(backward), counted(engine)  # type: ignore[method-assign]
    for name, function in clips.items():
        setattr(nn.utils, name, clip(function))
        setattr(nn.utils.clip_grad, name, clip(function))
    for owner in owners:
        owner.__dict__["zero_grad"] = cleared(owner.zero_grad)
    try:
        yield
    finally:
        Tensor.backward, torch.autograd.backward = backward, engine  # type: ignore[method-assign]
        for name, function in clips.items():
            setattr(nn.utils, name, function)
            setattr(nn.utils.clip_grad, name, function)
        for owner in owners:
            owner.__dict__.pop("zero_grad", None)
        for handle in [*handles, mode]:
            handle.remove()
