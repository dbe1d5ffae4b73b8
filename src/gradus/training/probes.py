"""Timed probes: how many threads, which precision, compiled or not: what this network runs fastest with here."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from typing import Literal

import torch
from torch import nn

from gradus.core.randomness import isolated
from gradus.core.threads import candidates, measure_threads, threads
from gradus.data.batches import Batch
from gradus.training.compilation import CompiledSteps
from gradus.training.graphs import WARM_UP, StepGraph
from gradus.training.losses import Loss, LossFunction

__all__ = ["choose_compile", "choose_precision", "choose_threads"]

# Below this time a step on one thread is mostly overhead, which more threads cannot share.
SMALL_STEP = 6e-4
# Above this time a probe of whole steps would cost a short training a tenth of its time: these rows tell as much.
LONG_STEP, PART_ROWS = 1e-2, 32
# A training shorter than this is not worth the half minute or more that compiling takes, whatever it would save.
LONG_TRAINING, TIMED = 300.0, 10
# Choices are remembered, so that two fits of one network in one process compute with the same threads and precision
# and agree to the last bit even where the machine's load changed between them.
_threads: dict[tuple[object, ...], int] = {}
_precisions: dict[tuple[object, ...], Literal["float32", "bf16"]] = {}
_compiled: dict[tuple[object, ...], Literal["off", "on"]] = {}


def choose_threads(network: nn.Module, loss: LossFunction, batch: Batch, asked: int | Literal["auto"]) -> int:
    """Return ``asked``, or for ``"auto"`` the number of threads on which a training step is fastest.

    Parameters
    ----------
    network : nn.Module
        Left as it is; a copy is timed.
    loss : LossFunction
        The loss of the step.
    batch : Batch
        One training batch.
    asked : int or "auto"
        The setting ``n_threads``.
    """
    if asked != "auto":
        return int(asked)
    if _device(network).type != "cpu":
        return torch.get_num_threads()  # they only fetch batches
    if candidates() == [1]:
        return 1
    key = (*_kind(network, batch), tuple(candidates()))
    if key not in _threads:
        with isolated(0, _device(network)):
            _threads[key] = _measured(network, loss, batch)
    return _threads[key]


def _measured(network: nn.Module, loss: LossFunction, batch: Batch) -> int:
    """Time a step on the batch, or where that takes long on as many of its rows as show how the work divides."""
    n = len(next(iter(batch.values())))
    part = {name: tensor[:PART_ROWS] for name, tensor in batch.items()}
    work = _step(network, loss, part, bf16=False)
    with threads(1):
        taken = _timed(work) * n / min(n, PART_ROWS)
        if taken < LONG_STEP and n > PART_ROWS:
            work = _step(network, loss, batch, bf16=False)
            taken = _timed(work)
    return 1 if taken < SMALL_STEP else measure_threads(work)


def _timed(work: Callable[[], None]) -> float:
    """Return the seconds of the second call: lazy initialization is not part of the measurement."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def choose_precision(
    network: nn.Module, loss: LossFunction, batch: Batch, asked: Literal["float32", "bf16", "auto"]
) -> Literal["float32", "bf16"]:
    """Return ``asked``, or for ``"auto"`` bf16 where it makes a training step at least a fifth faster."""
    if asked != "auto":
        return asked
    key = (*_kind(network, batch), torch.get_num_threads())
    if key not in _precisions:
        _precisions[key] = _faster(network, loss, batch)
    return _precisions[key]


def _faster(network: nn.Module, loss: LossFunction, batch: Batch) -> Literal["float32", "bf16"]:
    times: dict[bool, list[float]] = {False: [], True: []}
    works = {bf16: _step(network, loss, batch, bf16=bf16) for bf16 in times}
    with isolated(0, _device(network)):
        for work in works.values():
            work()
        for _ in range(5):
            for bf16, work in works.items():
                start = time.perf_counter()
                work()
                times[bf16].append(time.perf_counter() - start)
    return "bf16" if median(times[True]) * 1.2 < median(times[False]) else "float32"


def choose_compile(
    network: nn.Module, loss: LossFunction, batch: Batch, asked: Literal["off", "on", "auto"], *, steps: int, bf16: bool
) -> Literal["off", "on"]:
    """Return ``asked``, or for ``"auto"`` on where a compiled step is a tenth faster and the training long enough.

    On the processor ``"auto"`` is off: there, networks of this library were measured slower when compiled. Both sides
    are timed as recorded steps (`gradus.training.graphs`), since that is how they would run.

    Parameters
    ----------
    network, loss, batch, asked
        As in `choose_precision`.
    steps : int
        Steps that are planned.
    bf16 : bool
        Whether products are computed in bf16.
    """
    if asked != "auto":
        return asked
    if _device(network).type != "cuda":
        return "off"
    key = (*_kind(network, batch), bf16)
    if key not in _compiled:
        with isolated(0, _device(network)):
            written = _recorded_seconds(network, loss, batch, bf16=bf16, compiled=False)
            if written * steps < LONG_TRAINING:
                return "off"
            faster = _recorded_seconds(network, loss, batch, bf16=bf16, compiled=True) * 1.1 < written
            _compiled[key] = "on" if faster else "off"
    return _compiled[key]


def _recorded_seconds(network: nn.Module, loss: LossFunction, batch: Batch, *, bf16: bool, compiled: bool) -> float:
    """Return the seconds of a step without the update, on a copy, recorded where it can be."""
    probe = copy.deepcopy(network).train()
    device = _device(probe)
    source = torch.Generator(device=device).manual_seed(0)
    maker = CompiledSteps(probe, source) if compiled else None

    def gradients(part: Batch) -> Loss:
        probe.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
            result = loss(probe, part, source)
        result.total.backward()
        return Loss(result.total.detach(), 1.0, {})

    def work(part: Batch) -> Loss:
        return gradients(part) if maker is None else maker(gradients, part)

    graph = StepGraph(work, probe, [p for p in probe.parameters() if p.requires_grad], source)
    for _ in range(WARM_UP + 2):
        graph(batch)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(TIMED):
        graph(batch)
    torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / TIMED


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _kind(network: nn.Module, batch: Batch) -> tuple[object, ...]:
    shapes = tuple(tuple(p.shape) for p in network.parameters())
    return (type(network).__name__, str(_device(network)), shapes, tuple((k, tuple(t.shape)) for k, t in batch.items()))


def _step(network: nn.Module, loss: LossFunction, batch: Batch, *, bf16: bool) -> Callable[[], None]:
    """Return a training step without the update, on a copy: buffers and gradients of the original stay."""
    probe = copy.deepcopy(network).train()
    device = _device(probe)
    source = torch.Generator(device=device).manual_seed(0)

    def work() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
            result = loss(probe, batch, source)
        probe.zero_grad(set_to_none=True)
        (result.total / result.count).backward()
        if device.type != "cpu":
            getattr(torch, device.type).synchronize()

    return work
