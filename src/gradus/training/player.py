"""A player: who moves which parameters down which loss.

Supervised learning has one player; adversarial and wake-sleep methods have two, which share batches and take
turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.data.batches import Batch
from gradus.training.backpropagation import ChainGradients
from gradus.training.compilation import CompiledSteps
from gradus.training.distribution import GradientSum, world
from gradus.training.graphs import StepGraph, graph_refusal
from gradus.training.losses import Loss, LossFunction
from gradus.training.optimizers import FusedAdam, build_optimizers, weights_of
from gradus.training.options import TrainingOptions
from gradus.training.regularizers import constrain_norms_, noisy_weights, penalize_, penalty
from gradus.training.resume import random_states, restore_random_states

if TYPE_CHECKING:
    from gradus.training.sharding import Sharding

__all__ = ["Player", "fetched"]


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
        What this player moves; all of the network's by default. The others get no gradient from its loss.
    every : int
        Act on every ``every``-th batch: a critic with 1 and a generator with 5 give five critic steps to one.
    seed : int
        Seed of the generator handed to the loss, and drawn from by ``weight_noise``.

    Raises
    ------
    SettingError
        If ``accumulate`` is asked for where parts of a batch do not add up to the whole, or the optimizer has
        no such setting as asked for.

    Examples
    --------
    >>> from gradus.networks import GaussianHead
    >>> from gradus.training.losses import head_loss
    >>> line = GaussianHead(1)
    >>> player = Player("line", line, head_loss(line), TrainingOptions(optimizer="sgd", learning_rate=0.1))
    >>> player.update({"inputs": torch.ones(4, 1), "targets": torch.ones(4)}, step=0, factor=1.0)
    >>> player.steps, len(player.totals)
    ([0], 1)
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
        self.seed = seed
        self.parameters = [p for p in source if p.requires_grad]
        self.weights = weights_of(self.parameters)
        self.optimizers = build_optimizers(self.parameters, options)
        self.device = self.parameters[0].device
        self.generator = generator(seed, self.device)
        # Where several processes train, each draws its own dropout and noise on inputs, but all the same on weights.
        met = world()
        self.common = self.generator if met is None else generator(seed, self.device)
        self._sum: Callable[[Loss], Loss] | None = None if met is None else GradientSum(met, self.parameters)
        self.moves_all = whole
        self.sharding: Sharding | None = None  # whose part of parameters and memory this player moves
        self.division: str | None = None  # over how many processes they are divided, or why not
        self._work = loss
        self.totals: list[Tensor] = []  # of the epoch so far, fetched only when it ends
        self.counts: list[Tensor | float] = []
        self.steps: list[int] = []
        self._inputs = None if whole else self.parameters
        self._factor = 1.0
        self._bf16 = options.precision == "bf16"
        # L-BFGS keeps a gradient from one evaluation to the next, so each needs a place of its own.
        direct = whole and options.accumulate == 1 and not self._bf16 and options.optimizer != "lbfgs"
        self._chain = ChainGradients.of(network, loss) if direct else None
        self._closure = options.optimizer == "lbfgs"
        self._fused = FusedAdam()
        self._shares: dict[float, Tensor] = {}
        self._compiled = CompiledSteps(network, self.generator) if options.compile == "on" else None
        self._refusal = graph_refusal(loss, device=self.device, optimizer=options.optimizer, asked=options.cuda_graphs)
        self._graph: StepGraph | None = None
        self._rate: Tensor | None = None  # on the device, where a recorded update reads it
        if met is not None:
            self._refusal = "several processes train"
            _check_decomposes(loss, "one process", f"{met.size} that share each batch", "start it without torchrun")
        if self._refusal is None:
            self._graph = StepGraph(self._step, network, self.parameters, self.generator)
            self._rate = torch.tensor(0.0, dtype=torch.float32, device=self.device)
            self._scale(1.0)
        if options.accumulate > 1:
            _check_parts(network, loss, options.accumulate)

    def begin(self) -> None:
        """Get ready for steps under generators that were given new states: a recording would go on from the old."""
        if self._graph is not None:
            self._graph.reset()

    def update(self, batch: Batch, step: int, factor: float) -> None:
        """Take one optimizer step on ``batch`` at ``factor`` times the learning rate."""
        if factor != self._factor:
            self._scale(factor)
        loss = self._step(batch) if self._graph is None else self._graph(batch)
        self.totals.append(loss.total)
        self.counts.append(loss.count)
        self.steps.append(step)

    @property
    def execution(self) -> str:
        """How the steps were computed: compiled or not, sharded or not, and replayed as a CUDA graph or why not."""
        words = "eager"
        if self._compiled is not None:
            words = "compiled" if self._compiled.reason is None else f"not compiled: {self._compiled.reason}"
        if self.division is not None:
            words = f"{words}; {self.division}"
        if self._graph is None:
            return words if self.device.type != "cuda" else f"{words}; no CUDA graph: {self._refusal}"
        if self._graph.reason is not None:
            return f"{words}; no CUDA graph: {self._graph.reason}"
        return f"{words}; CUDA graph: {self._graph.replays} of {self._graph.steps} steps"

    def _step(self, batch: Batch) -> Loss:
        """Take one whole step, and leave nothing of it in Python: a replay of its kernels would not run that."""
        if self._closure:
            loss = self._search(batch)
        else:
            loss = self._gradients(batch) if self._compiled is None else self._compiled(self._gradients, batch)
            if not self._fused.step(self.optimizers):
                for optimizer in self.optimizers:
                    optimizer.step()
        if self.options.max_norm is not None:
            constrain_norms_(self.weights, self.options.max_norm)
        return loss

    def _scale(self, factor: float) -> None:
        self._factor = factor
        rate: float | Tensor = self.options.learning_rate * factor
        if self._rate is not None:
            rate = self._rate.fill_(rate)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _search(self, batch: Batch) -> Loss:
        """Let L-BFGS, which evaluates the loss several times a step, take one step; return the first evaluation.

        A line search compares values of one function. So what it compares includes the penalties, as the gradient
        does, and every evaluation draws the same dropout masks and noise.
        """
        states, drawn, first = random_states(self.device), self.generator.get_state(), []

        def evaluate() -> Tensor:
            restore_random_states(self.device, states)
            self.generator.set_state(drawn)
            loss = self._gradients(batch) if self._compiled is None else self._compiled(self._gradients, batch)
            first.append(loss)
            for parameter in self.parameters:
                if parameter.grad is not None:  # torch's L-BFGS flattens by view, which channels-last refuses
                    parameter.grad = parameter.grad.contiguous()
            return loss.total / loss.count + penalty(self.weights, l1=self.options.l1, l2=self.options.l2)

        self.optimizers[0].step(evaluate)  # type: ignore[arg-type]
        return first[0]

    def _gradients(self, batch: Batch) -> Loss:
        """Leave the gradient of the mean loss, penalties included, in ``.grad``; return the sums."""
        options = self.options
        for parameter in self.parameters:
            parameter.grad = None
        with self._noise():
            if self._chain is not None and self._chain.applies(batch):
                loss = self._chain.step(batch, self._share(float(len(batch["targets"]))))
            elif options.accumulate == 1:
                loss = self._forward(batch)
                torch.autograd.backward(loss.total, self._share(loss.count), inputs=self._inputs)
                loss = Loss(loss.total.detach(), loss.count, {})
            else:
                loss = self._accumulate(batch)
        if self._sum is not None:
            loss = self._sum(loss)
        if options.l1 or options.l2:
            penalize_(self.weights, l1=options.l1, l2=options.l2)
        if options.gradient_clip is not None:
            clip: Callable[..., Any] = nn.utils.clip_grad_norm_ if self.sharding is None else self.sharding.clip
            clip(self.parameters, options.gradient_clip)
        return loss

    def _share(self, count: Tensor | float) -> Tensor:
        """Return ``1 / count``: backward from the total times this is backward from the mean, an operation less."""
        dtype = self.parameters[0].dtype
        if self._sum is not None:  # the whole count is not known here
            count = 1.0
        if isinstance(count, Tensor):
            return count.detach().to(dtype).reciprocal()
        share = self._shares.get(count)
        if share is None:
            share = self._shares[count] = torch.tensor(1.0 / count, dtype=dtype, device=self.device)
        return share

    def _accumulate(self, batch: Batch) -> Loss:
        """Sum the gradients of the parts' totals, then divide once by the whole count: the whole batch's."""
        total: Tensor | None = None
        count: Tensor | float = 0.0
        for part in self._parts(len(next(iter(batch.values())))):
            loss = self._forward({name: tensor[part] for name, tensor in batch.items()})
            torch.autograd.backward(loss.total, inputs=self._inputs)
            total = loss.total.detach() if total is None else total + loss.total.detach()
            count = count + loss.count
        if total is None:
            raise InputError("a batch with examples", "an empty one", "drop empty batches")
        if self._sum is None:
            torch._foreach_div_([p.grad for p in self.parameters if p.grad is not None], count)
        return Loss(total, count, {})

    def _parts(self, rows: int) -> list[slice]:
        """Cut a batch; where parameters are divided, every process into as many parts: they fetch them together."""
        if self.sharding is None:
            each = max(1, -(-rows // self.options.accumulate))
            return [slice(low, low + each) for low in range(0, rows, each)]
        n = min(self.options.accumulate, self.sharding.met.least)
        return [slice(rows * i // n, rows * (i + 1) // n) for i in range(n)]

    def _forward(self, batch: Batch) -> Loss:
        if not self._bf16:
            return self._work(self.network, batch, self.generator)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            return self._work(self.network, batch, self.generator)

    def _noise(self) -> AbstractContextManager[None]:
        deviation = self.options.weight_noise
        if not deviation:
            return nullcontext()
        noisy = noisy_weights if self.sharding is None else self.sharding.noisy
        return noisy(self.weights, deviation, self.common)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed player needs beside the network's weights."""
        return {
            "optimizer": self.options.optimizer,
            "optimizers": [
                optimizer.state_dict() if self.sharding is None else self.sharding.whole_memory(optimizer)
                for optimizer in self.optimizers
            ],
            "generator": self.generator.get_state(),
            "factor": self._factor,
            "precision": self.options.precision,
            "compile": self.options.compile,
            "rows": 0 if self._compiled is None else self._compiled.rows,
            "totals": torch.stack(self.totals).cpu() if self.totals else None,
            "counts": torch.tensor(fetched(self.counts), dtype=torch.float64),
            "steps": torch.tensor(self.steps, dtype=torch.int64),
            "loss": self.loss.state_dict() if hasattr(self.loss, "state_dict") else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a saved state back.

        Raises
        ------
        SettingError
            If it is that of another optimizer: torch would take it without a word, and fail in the next step.
        """
        if state["optimizer"] != self.options.optimizer:
            expected, received = f"optimizer={state['optimizer']!r}, whose memory it is", self.options.optimizer
            raise SettingError(expected, repr(received), "set it back, or start anew")
        for optimizer, memory in zip(self.optimizers, state["optimizers"], strict=True):
            saved = memory if self.sharding is None else self.sharding.own_memory(optimizer, memory)
            # The memory is taken up; rates and decays are those of the settings in force.
            optimizer.load_state_dict({**saved, "param_groups": optimizer.state_dict()["param_groups"]})
            _match_layout(optimizer)
        self._fused = FusedAdam()
        drawn = state["generator"].cpu()
        if drawn.shape == self.generator.get_state().shape:  # another device's generator is of another kind
            self.generator.set_state(drawn)
        self._scale(state["factor"])
        # What a timed probe chose there counts, not what it finds faster here: the bits differ.
        self.options = replace(self.options, precision=state["precision"], compile=state["compile"])
        self._bf16 = self.options.precision == "bf16"
        self._chain = None if self._bf16 else self._chain
        self._compiled = CompiledSteps(self.network, self.generator) if self.options.compile == "on" else None
        if self._compiled is not None:
            self._compiled.rows = state["rows"]
        if self._graph is not None:
            self._graph.reset()  # the optimizer's memory lies elsewhere now
        totals = state["totals"]
        self.totals = [] if totals is None else list(totals.to(self.device).unbind())
        self.counts, self.steps = state["counts"].tolist(), state["steps"].tolist()
        if state["loss"] is not None:
            self.loss.load_state_dict(state["loss"])  # type: ignore[attr-defined]


def fetched(values: Sequence[Tensor | float]) -> list[float]:
    """Return numbers in order, those on the device fetched in one go."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    numbers = iter(torch.stack(tensors).double().tolist() if tensors else ())
    return [next(numbers) if isinstance(v, Tensor) else float(v) for v in values]


def _check_parts(network: nn.Module, loss: LossFunction, accumulate: int) -> None:
    """Refuse to cut a batch where the parts' gradients do not add up to the whole's."""
    asked = f"accumulate={accumulate}"
    _check_decomposes(loss, "accumulate=1", asked, "contrasts between examples would be lost; lower batch_size instead")
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        mend = "a part's statistics are not the batch's; lower batch_size, or use layer normalization"
        raise SettingError("accumulate=1 with batch normalization", asked, mend)


def _check_decomposes(loss: LossFunction, expected: str, received: str, mend: str) -> None:
    if not getattr(loss, "decomposes", True):
        raise SettingError(f"{expected} with a loss that does not decompose over examples", received, mend)


def _match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory layout of their parameters: fused kernels walk both as flat arrays."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
