"""A player: who moves which parameters down which loss.

Supervised learning has one player; adversarial and wake-sleep methods have two, which share batches and take turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.core.randomness import generator
from gradus.data.batches import Batch
from gradus.training.losses import Loss, LossFunction
from gradus.training.optimizers import build_optimizers, weights_of
from gradus.training.options import TrainingOptions
from gradus.training.regularizers import constrain_norms_, noisy_weights, penalize_

__all__ = ["Player"]


class Player:
    """One loss, the parameters it moves, and the optimizer that moves them.

    Parameters
    ----------
    name : str
        Key of its losses in the history.
    network : nn.Module
        What the loss is computed on; players of one game share it.
    loss : LossFunction
        ``(network, batch, generator) -> Loss`` (sums, not means).
    options : TrainingOptions
        Optimizer, learning rate, penalties, clipping, accumulation, precision.
    parameters : iterable of nn.Parameter, optional
        What this player moves; all of the network's by default. The others keep their gradients.
    every : int
        Act on every ``every``-th batch: a critic with 1 and a generator with 5 give five critic steps to one.
    seed : int
        Seed of the generator handed to the loss.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        loss: LossFunction,
        options: TrainingOptions,
        *,
        parameters: Iterable[nn.Parameter] | None = None,
        every: int = 1,
        seed: int = 0,
    ) -> None:
        whole = parameters is None
        source = network.parameters() if parameters is None else parameters
        self.name, self.network, self.loss, self.options, self.every = name, network, loss, options, every
        self.parameters = [p for p in source if p.requires_grad]
        self.weights = weights_of(self.parameters)
        self.optimizers = build_optimizers(self.parameters, options)
        self.device = self.parameters[0].device
        self.generator = generator(seed, self.device)
        self.totals: list[Tensor] = []  # of the epoch so far, fetched only when it ends
        self.counts: list[Tensor | float] = []
        self.steps: list[int] = []
        self._inputs = None if whole else self.parameters
        self._factor = 1.0
        self._bf16 = options.precision == "bf16"
        self._closure = options.optimizer == "lbfgs"
        if options.accumulate > 1 and not getattr(loss, "decomposes", True):
            raise SettingError(
                "accumulate=1 with a loss that does not decompose over examples",
                f"accumulate={options.accumulate}",
                "contrasts between examples would be lost; lower batch_size instead",
            )

    def update(self, batch: Batch, step: int, factor: float) -> None:
        """Take one optimizer step on ``batch`` at ``factor`` times the learning rate."""
        if factor != self._factor:
            self._factor = factor
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.options.learning_rate * factor
        recorded: list[Loss] = []

        def gradients() -> Tensor:
            loss = self._gradients(batch)
            recorded.append(loss)
            return loss.total / loss.count

        if self._closure:  # L-BFGS evaluates the loss several times a step
            self.optimizers[0].step(gradients)  # type: ignore[arg-type]
        else:
            loss = self._gradients(batch)
            recorded.append(loss)
            for optimizer in self.optimizers:
                optimizer.step()
        if self.options.max_norm is not None:
            constrain_norms_(self.weights, self.options.max_norm)
        self.totals.append(recorded[0].total)
        self.counts.append(recorded[0].count)
        self.steps.append(step)

    def _gradients(self, batch: Batch) -> Loss:
        """Leave the gradient of the mean loss, penalties included, in ``.grad``; return the sums."""
        options = self.options
        for parameter in self.parameters:
            parameter.grad = None
        with self._noise():
            if options.accumulate == 1:
                loss = self._forward(batch)
                torch.autograd.backward(loss.total / loss.count, inputs=self._inputs)
                loss = Loss(loss.total.detach(), loss.count, {})
            else:
                loss = self._accumulate(batch)
        if options.l1 or options.l2:
            penalize_(self.weights, l1=options.l1, l2=options.l2)
        if options.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, options.gradient_clip)
        return loss

    def _accumulate(self, batch: Batch) -> Loss:
        """Sum the gradients of the parts' totals, then divide once by the whole count: exactly the whole batch's."""
        size = len(next(iter(batch.values())))
        part = -(-size // self.options.accumulate)
        total: Tensor | None = None
        count: Tensor | float = 0.0
        for low in range(0, size, part):
            loss = self._forward({name: tensor[low : low + part] for name, tensor in batch.items()})
            torch.autograd.backward(loss.total, inputs=self._inputs)
            total = loss.total.detach() if total is None else total + loss.total.detach()
            count = count + loss.count
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._foreach_div_(gradients, count)  # type: ignore[arg-type]
        if total is None:
            raise SettingError("a batch with examples", "an empty one", "drop empty batches")
        return Loss(total, count, {})

    def _forward(self, batch: Batch) -> Loss:
        if not self._bf16:
            return self.loss(self.network, batch, self.generator)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            return self.loss(self.network, batch, self.generator)

    def _noise(self) -> AbstractContextManager[None]:
        deviation = self.options.weight_noise
        return noisy_weights(self.weights, deviation, self.generator) if deviation else nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed player needs beside the network's weights."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": self.generator.get_state(),
            "factor": self._factor,
            "totals": torch.stack(self.totals).cpu() if self.totals else None,
            "counts": [float(count) for count in self.counts],
            "steps": list(self.steps),
            "loss": self.loss.state_dict() if hasattr(self.loss, "state_dict") else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a saved state back."""
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
            _match_layout(optimizer)
        self.generator.set_state(state["generator"].cpu())
        self._factor = state["factor"]
        totals = state["totals"]
        self.totals = [] if totals is None else list(totals.to(self.device).unbind())
        self.counts, self.steps = list(state["counts"]), list(state["steps"])
        if state["loss"] is not None:
            self.loss.load_state_dict(state["loss"])  # type: ignore[attr-defined]


def _match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory layout of their parameters: fused kernels walk both as flat arrays."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
