"""Activations, wherever they are called: as modules, functions or methods; heard, and exchanged for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradus.practice.doctor.patient import Patient

__all__ = [
    "ENDS",
    "Altered",
    "Around",
    "Rewired",
    "Signal",
    "Undropped",
    "dropout_rate",
    "over_examples",
    "signals",
    "silent",
    "squashed",
]

# Where a squashing function ends.
ENDS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0), "hardtanh": (-1.0, 1.0)}
RECTIFIED = ("relu", "relu6")


@dataclass
class Signal:
    """What one call of an activation gave.

    Attributes
    ----------
    kind : str
        ``relu``, ``tanh`` ...
    behind : str
        The layer that was called last before it.
    dead : float
        Share of the units that are zero for every example (of a rectifier).
    saturated : float
        Share of the values within a hundredth of an end (of a squashing function).
    spread : float
        Root mean square of what went in.
    last : bool
        Whether it gives the network's output.
    """

    kind: str
    behind: str
    units: int
    dead: float
    saturated: float
    spread: float
    last: bool = False


def kind_of(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> str:
    """Return which activation a torch function is; empty for all others."""
    name = getattr(function, "__name__", "").rstrip("_")
    if name in ("clamp", "clip", "clamp_min"):
        low = named.get("min", arguments[1] if len(arguments) > 1 else None)
        high = named.get("max", arguments[2] if len(arguments) > 2 else None)
        return "relu" if isinstance(low, int | float) and low == 0 and high is None else ""
    return name if name in ENDS or name in RECTIFIED else ""


class _Mode(TorchFunctionMode):
    """Hand each activation's input and output to a function, which may answer in its place."""

    def __init__(self, answer: Callable[[int, str, Any, Callable[[Any], Any]], Any]) -> None:
        super().__init__()
        self.answer, self.count = answer, 0

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        kind = kind_of(function, arguments, named)
        if not kind or not arguments or not isinstance(arguments[0], Tensor):
            return function(*arguments, **named)
        self.count += 1
        return self.answer(self.count - 1, kind, arguments[0], lambda x: function(x, *arguments[1:], **named))


@torch.no_grad()
def signals(patient: Patient, batch: Any) -> list[Signal]:
    """Return what each activation gives for a batch, in order; of a loop's many calls the first sixty."""
    found: list[Signal] = []
    given: list[Tensor] = []
    behind = ["input"]
    names = {id(m): n for n, m in patient.network.named_modules()}

    def listen(index: int, kind: str, x: Tensor, plain: Callable[[Any], Any]) -> Any:
        before = x.detach().clone() if index < 60 else x
        y = plain(x)
        if index >= 60 or y.ndim < 2 or y.numel() == 0:
            return y
        axis = 1 if y.ndim in (2, 4) else -1
        units = y.transpose(0, axis).reshape(y.shape[axis], -1)
        dead = float((units.abs().max(1).values == 0).double().mean()) if kind in RECTIFIED else 0.0
        low, high = ENDS.get(kind, (-torch.inf, torch.inf))
        near = 0.01 * (high - low) if kind in ENDS else 0.0
        ends = float(((y < low + near) | (y > high - near)).double().mean()) if kind in ENDS else 0.0
        size = float(before.double().pow(2).mean().sqrt())
        found.append(Signal(kind, behind[0], y.shape[axis], dead, ends, size))
        given.append(y.clone())
        return y

    def called(module: nn.Module, *_: Any) -> None:
        behind[0] = names[id(module)]

    leaves = [m for m in patient.network.modules() if next(m.parameters(recurse=False), None) is not None]
    handles = [m.register_forward_pre_hook(called) for m in leaves]
    mode = patient.network.training
    patient.network.eval()
    try:
        with _Mode(listen):
            output = patient.forward(batch)
    finally:
        patient.network.train(mode)
        for handle in handles:
            handle.remove()
    for signal, value in zip(found, given, strict=True):
        ours = isinstance(output, Tensor) and value.numel() == output.numel()
        signal.last = ours and torch.equal(value.reshape(-1), output.reshape(-1))
    return found


class Around(nn.Module):
    """A network inside another, which has what the network has, where a step or an objective asks for its parts."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of this module, or else of the network inside."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "network":
                raise
            return getattr(self._modules["network"], name)


class _Dropouts(TorchFunctionMode):
    """Note the rates of dropout, and with ``off`` leave it out."""

    def __init__(self, off: bool) -> None:
        super().__init__()
        self.off, self.rates = off, [0.0]

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        if getattr(function, "__name__", "").rstrip("_").startswith(("dropout", "alpha_dropout")) and arguments:
            on = named.get("training", arguments[2] if len(arguments) > 2 else True)
            self.rates.append(float(named.get("p", arguments[1] if len(arguments) > 1 else 0.5)) if on else 0.0)
            if self.off:
                return arguments[0]
        return function(*arguments, **named)


@torch.no_grad()
def dropout_rate(patient: Patient, batch: Any) -> float:
    """Return the largest rate of dropout in training, of layers and of functions."""
    buffers = [b.clone() for b in patient.network.buffers()]
    mode = patient.network.training
    patient.network.train()
    try:
        with _Dropouts(off=False) as heard:
            patient.forward(batch)
    finally:
        patient.network.train(mode)
        for b, kept in zip(patient.network.buffers(), buffers, strict=True):
            b.copy_(kept)
    return max(heard.rates)


class Undropped(Around):
    """A network without its dropout."""

    def forward(self, *inputs: Any) -> Any:
        """Ask the network."""
        with _Dropouts(off=True):
            return self.network(*inputs)


class Altered(Around):
    """A network whose answers are changed by a function, each tensor of them."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__(network)
        self.change = change

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Ask the network, and change the answer."""
        return self._changed(self.network(*inputs, **named))

    def _changed(self, found: Any) -> Any:
        if isinstance(found, Tensor):
            return self.change(found) if found.is_floating_point() and found.ndim else found
        if isinstance(found, dict):
            return {key: self._changed(value) for key, value in found.items()}
        return type(found)(self._changed(part) for part in found) if type(found) in (tuple, list) else found


class _Axes(TorchFunctionMode):
    """Note over which axis each softmax runs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int, torch.Size]] = []

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        name = getattr(function, "__name__", "")
        if name in ("softmax", "log_softmax", "softmin") and arguments and isinstance(arguments[0], Tensor):
            axis = named.get("dim", arguments[1] if len(arguments) > 1 else None)
            if isinstance(axis, int):
                self.found.append((name, axis % max(1, arguments[0].ndim), arguments[0].shape))
        return function(*arguments, **named)


@torch.no_grad()
def over_examples(patient: Patient, batch: Any, rows: int) -> str:
    """Return the softmax that runs over the examples of a batch; empty where none does."""
    with _Axes() as heard:
        patient.forward(batch)
    return next((name for name, axis, shape in heard.found if axis == 0 and shape[0] == rows and len(shape) > 1), "")


class Rewired(Around):
    """A network whose hidden activations are others.

    Parameters
    ----------
    network : nn.Module
        The network.
    kinds : tuple of str
        The activations to exchange.
    other : callable
        ``(index, x, plain) -> tensor`` in their place.
    kept : collection of int
        Calls to leave as they are, by their number in a pass.
    """

    def __init__(
        self,
        network: nn.Module,
        kinds: tuple[str, ...],
        other: Callable[[int, Tensor, Callable[[Any], Any]], Any],
        kept: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__(network)
        self.kinds, self.other, self.kept = kinds, other, kept

    def forward(self, *inputs: Any) -> Any:
        """Ask the network, its activations exchanged."""

        def answer(index: int, kind: str, x: Tensor, plain: Callable[[Any], Any]) -> Any:
            return self.other(index, x, plain) if kind in self.kinds and index not in self.kept else plain(x)

        with _Mode(answer):
            return self.network(*inputs)


def squashed(found: list[Signal]) -> Iterator[Signal]:
    """Yield hidden squashing functions most of whose values sit at the ends."""
    yield from (s for s in found if s.kind in ENDS and not s.last and s.saturated > 0.7)


def silent(found: list[Signal]) -> Iterator[Signal]:
    """Yield hidden rectifiers most of whose units never fire."""
    yield from (s for s in found if s.kind in RECTIFIED and not s.last and s.dead > 0.9 and s.units > 1)
