"""A training step recorded once as a CUDA graph, then replayed: one launch in place of some hundred.

Where a network is small, the processor takes longer to launch the kernels of a step than the device to run them. A
graph holds the launches of forward pass, loss, backward pass, clipping and update together; what changes from step to
step lies in tensors that the graph reads: the batch, the learning rate, the optimizer's count of steps, the state of
the random generators. The first steps of a shape run one kernel at a time, and are steps of the training like any
other. Whatever a graph cannot hold (another shape, hooks, a loss that waits for the device) runs so too.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus.core.randomness import default_generator
from gradus.data.batches import Batch
from gradus.training.listeners import Listeners
from gradus.training.losses import Loss

__all__ = ["CAPTURED", "StepGraph", "graph_refusal"]

# Steps of a shape before it is recorded: libraries load, optimizers make their memory, kernels are chosen.
WARM_UP = 3
# Optimizers whose update reads the learning rate from the device; a graph would repeat a number for ever.
CAPTURED = frozenset({"sgd", "momentum", "nesterov", "adam", "adamw"})

_SYNCHRONIZING = "called a synchronizing"  # torch's own words


def graph_refusal(loss: Any, *, device: torch.device, optimizer: str, asked: bool) -> str | None:
    """Return why the steps of a player cannot be recorded, or None where they may be tried.

    Parameters
    ----------
    loss : LossFunction
        One that keeps state (``state_dict``), or says ``capturable = False``, is not recorded: a replay runs none of
        its Python.
    device : torch.device
        Where training takes place.
    optimizer : str
        Name of the optimizer.
    asked : bool
        The setting ``cuda_graphs``.
    """
    if device.type != "cuda":
        return f"the device is {device.type}"
    if not asked:
        return "cuda_graphs is off"
    if optimizer not in CAPTURED:
        return f"{optimizer} does not read its learning rate from the device"
    if hasattr(loss, "state_dict") or not getattr(loss, "capturable", True):
        return "the loss keeps state in Python"
    return None


class StepGraph:
    """Takes training steps; those of the first shape to come back often enough are recorded and replayed.

    Parameters
    ----------
    work : callable
        ``batch -> Loss``: a whole step, update included, that leaves nothing behind in Python.
    network : nn.Module
        Watched for hooks, which a replay would not call.
    parameters : sequence of nn.Parameter
        What the step moves.
    generator : torch.Generator
        What the loss draws from, beside the device's global generator.

    Attributes
    ----------
    reason : str or None
        Why nothing is recorded, once that is known.
    steps, replays : int
        Steps taken, and those of them that were replayed.
    """

    def __init__(
        self,
        work: Callable[[Batch], Loss],
        network: nn.Module,
        parameters: Sequence[nn.Parameter],
        generator: torch.Generator,
    ) -> None:
        self.work, self.network, self.parameters, self.generator = work, network, list(parameters), generator
        self.device = self.parameters[0].device
        self.reason: str | None = None
        self.steps = self.replays = 0
        self._seen: Counter[object] = Counter()
        self._stream = torch.cuda.Stream(self.device)
        self._listeners = Listeners(network, self.parameters)
        self._graph: Any = None
        self._shape: object = None
        self._inputs: Batch = {}
        self._outputs = Loss(torch.empty(()), 0.0, {})
        self._gradients: list[Tensor | None] = []
        self._attached = False

    def reset(self) -> None:
        """Forget the recording: the tensors it reads and writes are about to be replaced."""
        self._graph, self._shape, self._inputs, self._gradients = None, None, {}, []
        self._seen.clear()

    def __call__(self, batch: Batch) -> Loss:
        """Take one step on ``batch``, replayed where its shape was recorded; return the sums."""
        self.steps += 1
        if self.reason is not None:
            return self.work(batch)
        shape = self._kind(batch)
        if self._graph is not None:
            if shape == self._shape and not self._listeners.present:
                return self._replay(batch)
            self._attached = False
            return self.work(batch)
        self._seen[shape] += 1
        if self._seen[shape] < WARM_UP:
            return self._aside(batch)
        if self._seen[shape] == WARM_UP:
            return self._examined(batch)
        if self._listeners.present:
            return self.work(batch)
        return self._recorded(batch, shape)

    def _kind(self, batch: Batch) -> object:
        shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in batch.items())
        return (self.network.training, shapes)

    def _aside(self, batch: Batch) -> Loss:
        """Take a step on the stream that will be recorded, so that what libraries keep for each stream is there."""
        here = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            loss = self.work(batch)
        here.wait_stream(self._stream)
        return loss

    def _examined(self, batch: Batch) -> Loss:
        """Take a step and find out whether a graph could hold it: nothing waits for the device or draws elsewhere.

        A recording that fails half way leaves torch's allocator and generators in disorder, so it is not just tried.
        """
        before, states = torch.cuda.get_sync_debug_mode(), _processor_states()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                loss = self._aside(batch)
            finally:
                torch.cuda.set_sync_debug_mode(before)
        waits = [w for w in caught if _SYNCHRONIZING in str(w.message)]
        for other in caught:
            if other not in waits and "debug mode" not in str(other.message):
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
        if waits:
            self.reason = "the step waits for the device"
        elif states != _processor_states():
            self.reason = "the step draws random numbers on the processor"
        return loss

    def _recorded(self, batch: Batch, shape: object) -> Loss:
        """Record the step, then replay it for this batch; where that fails, take it kernel by kernel."""
        inputs = {name: torch.empty_like(tensor).copy_(tensor) for name, tensor in batch.items()}
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                outputs = self.work(inputs)
        except RuntimeError as error:
            _mend(default_generator(self.device), self.generator)
            self.reason = f"recording failed ({str(error).splitlines()[0][:120]})"
            return self.work(batch)
        self._graph, self._shape, self._inputs, self._outputs = graph, shape, inputs, outputs
        self._gradients, self._attached = [p.grad for p in self.parameters], True
        self._seen.clear()
        return self._replay(batch)

    def _replay(self, batch: Batch) -> Loss:
        for name, tensor in self._inputs.items():
            tensor.copy_(batch[name], non_blocking=True)
        if not self._attached:  # a step of another shape left gradients of its own
            for parameter, gradient in zip(self.parameters, self._gradients, strict=True):
                parameter.grad = gradient
            self._attached = True
        self._graph.replay()
        self.replays += 1
        total, count, _ = self._outputs  # the next replay writes over them
        return Loss(total.clone(), count.clone() if isinstance(count, Tensor) else count, {})


def _processor_states() -> tuple[Any, ...]:
    """Return what tells that nobody drew from the processor's global generators."""
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - it is the global one that is watched
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), str(legacy)


def _mend(*generators: Any) -> None:
    """Free generators from a recording that failed: they would refuse to draw outside of it."""
    for generator in generators:
        with suppress(RuntimeError, AttributeError):
            generator.graphsafe_set_state(generator.clone_state())
