"""A network compiled by ``torch.compile`` for its training steps, and left as it is everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gradus.core.errors import GradusError
from gradus.data.batches import Batch
from gradus.training.listeners import Listeners
from gradus.training.losses import Loss
from gradus.training.resume import random_states, restore_random_states

__all__ = ["CompiledSteps"]

BACKEND = "inductor"


class CompiledSteps:
    """Takes training steps with the network compiled, for batches of full size.

    The network itself answers the call, compiled inside the block of a step only: the loss sees the module it knows,
    evaluation and checkpoints see no other names. A batch smaller than the largest so far, such as the last of an
    epoch, runs as written: a new shape costs another compilation. So does everything where the compiler fails, and a
    step to which hooks listen.

    Parameters
    ----------
    network : nn.Module
        What the loss calls.
    generator : torch.Generator
        What the loss draws from; put back where a first, compiled attempt fails.

    Attributes
    ----------
    rows : int
        Examples of the largest batch so far; part of a checkpoint, since it decides what is compiled.
    reason : str or None
        Why nothing is compiled any more, if the compiler failed.
    """

    def __init__(self, network: nn.Module, generator: torch.Generator) -> None:
        self.network, self.generator = network, generator
        self.rows = 0
        self.reason: str | None = None
        self._proved = 0  # rows for which a whole step has succeeded
        self._compiled: Any = None
        self._listeners = Listeners(network, (p for p in network.parameters() if p.requires_grad))

    def __call__(self, work: Callable[[Batch], Loss], batch: Batch) -> Loss:
        """Return ``work(batch)``, with the network compiled."""
        rows = len(next(iter(batch.values())))
        if self.reason is not None or rows < self.rows or self._listeners.present:
            return work(batch)
        self.rows = rows
        if self._proved == rows:
            with self._installed():
                return work(batch)
        undo = self._mark()
        try:
            with self._installed():
                loss = work(batch)
        except GradusError:
            raise
        except Exception as error:  # the compiler's own kinds are many, and private
            undo()
            self.reason = f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else 'no word'}"
            return work(batch)
        self._proved = rows
        return loss

    @contextmanager
    def _installed(self) -> Iterator[None]:
        network: Any = self.network

        def call(*inputs: Any, **named: Any) -> Any:  # torch does not compile the frames of its own modules
            return network._call_impl(*inputs, **named)

        if self._compiled is None:
            self._compiled = torch.compile(call, backend=BACKEND)
        before = network._compiled_call_impl
        network._compiled_call_impl = self._compiled  # what nn.Module.compile sets, for good
        try:
            yield
        finally:
            network._compiled_call_impl = before

    def _mark(self) -> Callable[[], None]:
        """Return what puts buffers and random states back, should the first attempt end half way."""
        buffers: list[Tensor] = list(self.network.buffers())
        kept = [buffer.clone() for buffer in buffers]
        device = next(self.network.parameters()).device
        states, drawn = random_states(device), self.generator.get_state()

        def undo() -> None:
            with torch.no_grad():
                for buffer, value in zip(buffers, kept, strict=True):
                    buffer.copy_(value)
            restore_random_states(device, states)
            self.generator.set_state(drawn)

        return undo
