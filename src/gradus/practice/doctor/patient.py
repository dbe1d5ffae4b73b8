"""The patient: a network with its loss, data, optimizer and the user's own training step and evaluation."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate

from gradus.core.errors import InputError
from gradus.core.randomness import isolated

__all__ = ["KEYS", "Kept", "Patient", "Source", "set_apart", "untouched"]

KEYS = ("network", "loss", "objective", "train", "valid", "optimizer", "batch_size", "epochs", "step", "evaluate")
REQUIRED = ("network", "train", "optimizer")

Batch = tuple[Any, ...]


class Source:
    """Rows to learn from or to be judged by: tensors that are cut into batches here, or a loader that does so itself.

    Parameters
    ----------
    data : tensor, sequence of tensors, Dataset or iterable of batches
        As the user gave it.
    batch_size : int
        Rows a batch, where tensors are given.
    name : str
        For messages.
    """

    def __init__(self, data: Any, batch_size: int, name: str) -> None:
        if isinstance(data, np.ndarray):
            data = (torch.from_numpy(data),)
        if isinstance(data, Tensor):
            data = (data,)
        if isinstance(data, torch.utils.data.Dataset):
            data = DataLoader(data, batch_size=batch_size)
        self.loader: Any = None
        self.tensors: tuple[Tensor, ...] = ()
        if isinstance(data, tuple | list) and data and all(isinstance(part, Tensor | np.ndarray) for part in data):
            parts = [torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in data]
            sizes = {len(part) for part in parts}
            if len(sizes) != 1 or 0 in sizes:
                got = ", ".join(str(tuple(part.shape)) for part in parts)
                raise InputError(f"{name} tensors with the same number of rows", got, "pass one target for each input")
            self.tensors = tuple(parts)
        elif hasattr(data, "__iter__") and not isinstance(data, Mapping | str):
            self.loader = data
        else:
            mend = "pass (inputs, targets) tensors, or a DataLoader"
            raise InputError(f"{name} data as tensors or a DataLoader", type(data).__name__, mend)
        self.batch_size, self.name = batch_size, name

    @property
    def given(self) -> Any:
        """The data in the form in which the user's own evaluation takes them."""
        return self.loader if self.loader is not None else self.tensors

    @property
    def stacked(self) -> bool:
        """Whether the first axis of a batch holds the rows, as where tensors are cut or a loader stacks examples."""
        if self.loader is None:
            return True
        made = isinstance(self.loader, DataLoader) and self.loader.batch_size is not None
        return made and self.loader.collate_fn is default_collate

    def batches(self, order: torch.Generator | None = None) -> Iterator[Any]:
        """Yield one epoch: a loader's own batches; of tensors, rows in the order drawn, or as they lie without one."""
        if self.loader is not None:
            yield from self.loader
            return
        n = len(self.tensors[0])
        rows = torch.arange(n) if order is None else torch.randperm(n, generator=order)
        for start in range(0, n, self.batch_size):
            index = rows[start : start + self.batch_size]
            yield tuple(part[index] for part in self.tensors)

    def first(self) -> Any:
        """Return the first batch of an epoch, rows of tensors in a fixed random order; None where there is none."""
        return next(iter(self.batches(torch.Generator().manual_seed(0))), None)

    @property
    def steps(self) -> int:
        """Batches an epoch; of a loader without length, a guess."""
        if self.loader is None:
            return -(-len(self.tensors[0]) // self.batch_size)
        try:
            return len(self.loader)
        except TypeError:
            return 100

    def rows(self, limit: int) -> Batch:
        """Return up to ``limit`` rows as tensors, in the order in which training meets them.

        Of batches whose shapes differ (padded to their longest row) only the first ones of equal shape.
        """
        if self.loader is None:
            return tuple(part[:limit] for part in self.tensors)
        found: list[tuple[Tensor, ...]] = []
        count = 0
        for batch in self.loader:
            parts = tuple(part for part in parts_of(batch) if part.ndim)  # a flag of the batch is no row
            if found and [p.shape[1:] for p in parts] != [p.shape[1:] for p in found[0]]:
                continue
            found.append(parts)
            count += len(parts[0]) if parts else 1
            if count >= limit:
                break
        if not found:
            raise InputError(f"{self.name} batches", "none", "pass a loader that yields some")
        return tuple(torch.cat([batch[k] for batch in found])[:limit] for k in range(len(found[0])))

    def as_they_lie(self, limit: int) -> Batch | None:
        """Return up to ``limit`` rows in the order in which they are stored, whatever order they are drawn in."""
        held = getattr(self.loader, "dataset", None)
        tensors = self.tensors if self.loader is None else getattr(held, "tensors", None)
        return None if not tensors else tuple(part[:limit] for part in tensors)


def numbers_of(batch: Any) -> Tensor | None:
    """Return the inputs of a batch, where they are rows of numbers; None of tokens, and of a number a row."""
    parts = parts_of(batch)
    return parts[0] if parts and parts[0].is_floating_point() and parts[0].ndim >= 2 else None


def parts_of(batch: Any) -> tuple[Tensor, ...]:
    """Return the tensors of a batch in order, of a mapping by its order, nested ones flattened."""
    if isinstance(batch, Tensor):
        return (batch,)
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, tuple | list):
        return tuple(part for item in batch for part in parts_of(item))
    return (torch.as_tensor(batch),) if isinstance(batch, int | float | np.ndarray) else ()


@dataclass
class Patient:
    """Everything that is examined. Its functions are the user's, and only called.

    See `gradus.practice.doctor.examination.examine` for the meaning of each part. ``plain`` tells whether the loss of
    the network's output on a batch means something; of two players only their own step knows what is lowered.
    ``implied`` is the loss inside an objective, where it has one; ``around`` is entered around each training step.
    ``shared`` tells that every experiment is made on the one network there is, which is put back before each.
    """

    network: nn.Module
    train: Source
    valid: Source | None
    optimizer: Any
    loss: Callable[..., Any] | None = None
    objective: Callable[..., Any] | None = None
    step: Callable[..., Any] | None = None
    evaluate: Callable[..., Any] | None = None
    batch_size: int = 32
    epochs: int = 10
    seed: int = 0
    plain: bool = True
    implied: Callable[..., Any] | None = None
    around: tuple[Callable[[Patient], AbstractContextManager[None]], ...] = ()
    shared: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any], seed: int = 0) -> Patient:
        """Check what ``build`` returned.

        Raises
        ------
        InputError
            If a part is missing, unknown or of the wrong kind.
        """
        if not isinstance(given, Mapping):
            raise InputError("a dict from build", type(given).__name__, f"return a dict with {', '.join(REQUIRED)} ...")
        missing = [key for key in REQUIRED if given.get(key) is None]
        if given.get("loss") is None and given.get("objective") is None and given.get("step") is None:
            missing.append("loss")
        if missing:
            known = ", ".join(given) or "nothing"
            raise InputError(f"{missing[0]!r} in what build returns", known, f"add it; known are {', '.join(KEYS)}")
        if not isinstance(given["network"], nn.Module):
            raise InputError("an nn.Module as network", type(given["network"]).__name__, "return the network itself")
        for name in ("loss", "objective", "step", "evaluate"):
            if given.get(name) is not None and not callable(given[name]):
                raise InputError(f"a callable as {name}", type(given[name]).__name__, "return the function itself")
        if not list(optimizers_of(given["optimizer"])):
            raise InputError("a torch optimizer", type(given["optimizer"]).__name__, "return an optimizer")
        size = int(given.get("batch_size") or getattr(given["train"], "batch_size", None) or 32)
        valid = given.get("valid")
        return cls(
            network=given["network"], train=Source(given["train"], size, "train"),
            valid=None if valid is None else Source(valid, max(size, 256), "valid"), optimizer=given["optimizer"],
            loss=given.get("loss"), objective=given.get("objective"), step=given.get("step"),
            evaluate=given.get("evaluate"), batch_size=size, epochs=max(1, int(given.get("epochs") or 10)),
            seed=seed,
        )  # fmt: skip

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Every torch optimizer there is."""
        return list(optimizers_of(self.optimizer))

    @property
    def criterion(self) -> Callable[..., Any] | None:
        """What compares outputs with targets: the loss, or the one inside the objective."""
        return self.loss if self.loss is not None else self.implied

    @property
    def device(self) -> torch.device:
        """Where the network's parameters lie."""
        first = next(self.network.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def inputs(self, batch: Any) -> tuple[Any, ...]:
        """Return what the network takes of a batch."""
        parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        return parts[:-1] if len(parts) > 1 else parts

    def target(self, batch: Any) -> Any:
        """Return what the loss compares with: the last part of a batch, or the batch itself."""
        return batch[-1] if isinstance(batch, tuple | list) else batch

    def forward(self, batch: Any) -> Any:
        """Return the network's output for a batch."""
        inputs = self.inputs(batch)
        if len(inputs) > 1 and self._takes() == 1:
            inputs = inputs[:1]
        return self.network(*inputs)

    def _takes(self) -> int | None:
        """Return how many inputs the network takes by position; None for any number."""
        try:
            parameters = inspect.signature(self.network.forward).parameters.values()
        except (TypeError, ValueError):
            return None
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return None
        return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)

    def measure(self, batch: Any) -> Tensor:
        """Return the loss of a batch, with its graph."""
        if self.objective is not None:
            return as_scalar(self.objective(self.network, batch))
        if self.loss is None:
            raise InputError("a loss or an objective", "none", "return 'loss' from build")
        return as_scalar(self.loss(self.forward(batch), self.target(batch)))

    def take(self, batch: Any) -> Any:
        """Take a step of the user's own; where there is none, ask for the loss of a batch, and leave it at that."""
        return self.measure(batch) if self.step is None else self.advance(batch)

    def advance(self, batch: Any) -> Any:
        """Take one training step: the user's own, or the plain one."""
        with ExitStack() as entered:
            for around in self.around:
                entered.enter_context(around(self))
            return self._stepped(batch)

    def _stepped(self, batch: Any) -> Any:
        if self.step is not None:
            return self.step(
                self.network, batch, self.optimizer, self.loss if self.loss is not None else self.objective
            )
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = self.measure(batch)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()


def as_scalar(value: Any) -> Tensor:
    """Return a loss as the scalar it should be; of a tuple, such as (loss, parts), the first."""
    if isinstance(value, tuple | list) and value:
        value = value[0]
    if isinstance(value, Mapping) and "loss" in value:
        value = value["loss"]
    if not isinstance(value, Tensor):
        raise InputError("a loss that is a tensor", type(value).__name__, "return the tensor, not its number")
    if value.numel() != 1:
        raise InputError("a loss of one number", f"a tensor of shape {tuple(value.shape)}", "take its mean")
    return value.reshape(())


def optimizers_of(given: Any) -> Iterator[torch.optim.Optimizer]:
    """Yield the optimizers in what may be one, several or a mapping of them."""
    if isinstance(given, torch.optim.Optimizer):
        yield given
    elif isinstance(given, Mapping):
        for value in given.values():
            yield from optimizers_of(value)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        for value in given:
            yield from optimizers_of(value)


class Kept:
    """What training changes of a patient, as it was: tensors, gradients, buffers, modes and the optimizers' memory."""

    def __init__(self, patient: Patient) -> None:
        network = patient.network
        tensors = {id(t): t for t in [*network.parameters(), *network.buffers()]}
        for optimizer in patient.optimizers:
            tensors |= {id(p): p for group in optimizer.param_groups for p in group["params"]}
        for source in (patient.train, patient.valid):
            tensors |= {id(t): t for t in stored(source)}
        self.tensors = tensors
        self.values = {key: t.detach().clone() for key, t in tensors.items()}
        leaves = {key: t for key, t in tensors.items() if t.is_leaf}
        self.grads = {key: None if t.grad is None else t.grad.detach().clone() for key, t in leaves.items()}
        self.wanted = {key: t.requires_grad for key, t in leaves.items()}
        self.modes = [(module, module.training) for module in network.modules()]
        self.states = [(optimizer, copy.deepcopy(optimizer.state_dict())) for optimizer in patient.optimizers]

    def restore(self) -> None:
        """Put all of it back."""
        with torch.no_grad():
            for key, tensor in self.tensors.items():
                if not torch.equal(tensor, self.values[key]) or tensor.isnan().any():
                    tensor.copy_(self.values[key])
        for key, gradient in self.grads.items():
            self.tensors[key].grad = None if gradient is None else gradient.clone()
            self.tensors[key].requires_grad_(self.wanted[key])
        for module, training in self.modes:
            module.training = training
        for optimizer, state in self.states:
            del optimizer.param_groups[len(state["param_groups"]) :]  # those that were added since
            optimizer.load_state_dict(copy.deepcopy(state))


@contextmanager
def untouched(patient: Patient) -> Iterator[None]:
    """Put everything back at the end: parameters, gradients, buffers, modes, optimizers, data, random states."""
    before = Kept(patient)
    kept = random.getstate(), np.random.get_state(legacy=True)  # noqa: NPY002 - the user's program draws from it
    try:
        with isolated(patient.seed, patient.device):
            yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        before.restore()


def set_apart(patient: Patient) -> Patient:
    """Return a patient whose network is a copy, as it is now; numbers it keeps from a pass lose their graph."""
    passing = {
        id(v): v.detach().clone()
        for module in patient.network.modules() for v in vars(module).values()
        if isinstance(v, Tensor) and not v.is_leaf
    }  # fmt: skip
    return replace(patient, network=copy.deepcopy(patient.network, passing))


def stored(source: Source | None) -> list[Tensor]:
    """Return the tensors in which a source's rows lie, where they can be found."""
    if source is None:
        return []
    if source.loader is None:
        return list(source.tensors)
    held = getattr(source.loader, "dataset", None)
    while isinstance(held, torch.utils.data.Subset):
        held = held.dataset
    owners = [vars(owner) for owner in (source.loader, held) if hasattr(owner, "__dict__")]
    values = [value for owner in owners for value in owner.values()] + list(getattr(held, "tensors", ()))
    return [value for value in values if isinstance(value, Tensor)]
