"""Estimators trained by gradients: from arrays to tensors, through the loop, to a fitted network."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from gradus.core.devices import choose_device, holds, processes_launched
from gradus.core.errors import GradusError, InputError, NonFiniteError, SettingError
from gradus.core.options import option, settings_of
from gradus.core.randomness import derive, isolated, resolve_seed
from gradus.core.threads import cores, threads
from gradus.data.batches import Batch, Batches, OnDevice, TensorBatches
from gradus.estimators.base import Estimator
from gradus.estimators.callbacks import ScikitCallbacks
from gradus.estimators.digest import digest
from gradus.estimators.footprint import check_footprint
from gradus.estimators.regularization import REGULARIZATION
from gradus.networks import HeadedNetwork, Standardize
from gradus.training.checkpoints import CheckpointStore
from gradus.training.distribution import agreed, is_first, launched
from gradus.training.loop import Callback, Trainer
from gradus.training.losses import LossFunction
from gradus.training.observers import observers
from gradus.training.options import TrainingOptions
from gradus.training.player import Player
from gradus.training.probes import choose_compile, choose_precision, choose_threads
from gradus.training.progress import ProgressBar

if TYPE_CHECKING:
    from gradus.foundations.graph.showing import Drawing

__all__ = ["GradientEstimator", "trains_together"]

# Rows that go through the network at once outside training: enough to fill the cores, little enough for memory.
ANSWER_BYTES, ANSWER_ROWS = 1 << 24, 4096

# ``(X, y) -> tensors``, as a fitted network takes them.
Encode = Callable[..., Batch]

# Settings beside those of training that leave the network's shape alone, and may change between two fits of one.
SHAPELESS = frozenset({"warm_start", "class_weight", "label_smoothing"}) | REGULARIZATION


@dataclass(kw_only=True, eq=False, repr=False)
class GradientEstimator(TrainingOptions, Estimator):
    """Base of estimators that minimize a loss by gradients.

    A subclass says how data become tensors (`_encode`), what network they need (`_build`), which loss each player
    lowers (`_players`), and what is measured on validation data (`_evaluate`).
    """

    # Whether data of one batch are learned in double precision: not whole images to whole images, which take
    # seven times as long so.
    _double_fit: ClassVar[bool] = True

    warm_start: bool = option(False, "let fit go on from the weights of the last fit")

    # -- what a subclass gives -----------------------------------------------------------------------------------

    @abstractmethod
    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        """Check data and turn them into tensors on the CPU; with ``reset``, learn shapes, classes and scales first."""

    @abstractmethod
    def _build(self) -> nn.Module:
        """Make the network from settings and learned attributes, with fresh weights."""

    @abstractmethod
    def _loss(self, network: nn.Module) -> LossFunction:
        """Return the loss that training lowers."""

    @abstractmethod
    def _measure(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sums of loss and score over a validation batch, and the sum of weights."""

    def _players(self, network: nn.Module, options: TrainingOptions, seed: int) -> list[Player]:
        return [Player("network", network, self._loss(network), options, seed=seed)]

    def _split(self, tensors: Batch, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to train on and those held out."""
        n = len(next(iter(tensors.values())))
        order = np.random.default_rng(seed).permutation(n)
        held = max(1, round(n * fraction))
        return np.sort(order[held:]), np.sort(order[:held])

    def show_graph(self, X: Any = None, y: Any = None, *, marks: Mapping[str, str] | None = None) -> Drawing:
        """Return the network's graph on some rows, to look at in a notebook or to save as a page."""
        from gradus.estimators.graph import show_graph

        return show_graph(self, X, y, marks=marks)

    # -- fitting -------------------------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        y_val: Any,
        callbacks: Sequence[Callback] = (),
        after: Callable[[], None] | None = None,
    ) -> Self:
        """Train; ``after`` learns what is left to learn before scikit-learn's callbacks hear that the fit ended."""
        self._check_together()
        if y is not None and (X_val is None) != (y_val is None):
            given, absent = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
            raise InputError("X_val and y_val together", f"{given} alone", f"pass {absent} too")
        warm = self.warm_start and hasattr(self, "network_")
        self.__dict__.pop("_memory", None)  # of an optimizer that has not seen what fit is about to change
        with self._learning(fresh=not warm):
            self.seed_ = agreed(resolve_seed(self.random_state))
            train = self._encode(X, y, sample_weight, reset=not warm)
            valid = None if X_val is None else self._encode(X_val, y_val)
            if valid is None and self.early_stopping is True:
                rows, held = self._split(train, self.validation_fraction, derive(self.seed_, "validation"))
                if len(rows) == 0 or len(held) == 0:
                    raise InputError("at least 2 rows where early_stopping holds some out", "1", "pass more rows")
                train, valid = _take(train, rows), _take(train, held)
            network = self.network_ if warm else self._make_network()
        told = ScikitCallbacks(self, X, y, sample_weight)
        self._train(network, train, valid, [told, *callbacks] if told.active else callbacks)
        if after is not None:
            after()
        told.finish()
        return self

    def _check_together(self) -> None:
        """Check each setting, and those that only make sense together."""
        self.check_settings()
        if self.checkpoint is None:
            return
        if self.random_state is None:
            mend = "a fit that goes on has to draw what the first one drew: set for example random_state=0"
            raise SettingError("an integer random_state where checkpoint is set", "none", mend)
        if self.warm_start:
            mend = "a finished checkpoint would be taken for this fit: set one of the two"
            raise SettingError("warm_start=False where checkpoint is set", "True", mend)

    def _fit_stream(
        self, batches: Batches | Callable[[Encode], Batches], sample: tuple[Any, Any], X_val: Any, y_val: Any
    ) -> Self:
        """Learn shapes, classes and scales from the sample, weights from the batches.

        Batches of columns that the network reads as it learned to from the sample are made by a function, which is
        handed the encoder once it knows.
        """
        self._check_together()
        if self.retrain != "none" or (self.early_stopping is True and X_val is None):
            raise SettingError(
                "retrain='none', and X_val where early_stopping is on, for a stream",
                f"retrain={self.retrain!r}, early_stopping={self.early_stopping!r}",
                "a stream has no rows to hold out or to join: pass X_val and y_val",
            )
        with self._learning(fresh=True):
            self.seed_ = agreed(resolve_seed(self.random_state))
            known = self._encode(*sample, reset=True)
            valid = None if X_val is None else self._encode(X_val, y_val)
            if not isinstance(batches, Batches):
                batches = batches(self._encode)
            self._check_stream(next(batches.epoch(0)), known)
            network = self._make_network()
        self._run(self._trainer(network, batches, valid, (), phase="main"))
        return self

    def _check_stream(self, first: Batch, known: Batch) -> None:
        """Compare the first batch of a stream with the sample as `fit` would see it."""
        for name, tensor in known.items():
            if name == "weights":
                continue
            if name not in first:
                raise InputError(f"batches with {name!r}", ", ".join(first), "rename the tensors of the batches")
            if first[name].shape[1:] != tensor.shape[1:] or first[name].dtype != tensor.dtype:
                want, got = (f"{tuple(t.shape[1:])} of {t.dtype}" for t in (tensor, first[name]))
                raise InputError(f"{name} of shape (batch, ...) = {want}", got, "make batches like the sample")

    def _train(self, network: nn.Module, train: Batch, valid: Batch | None, callbacks: Sequence[Callback]) -> None:
        """Train once, and again on everything where a retraining strategy of §7.8 asks for it."""
        first = self._trainer(network, train, valid, callbacks, phase="main")
        self._run(first)
        over = first.finished in ("interrupted", "callback", "max_steps", "max_time") or first.signals.request
        best = -1 if first.monitor is None else first.monitor.best_epoch
        if self.retrain == "none" or valid is None or best < 0 or over:
            return
        second = self._retrainer(first, train, valid, best, callbacks)
        if second is not None:
            self._run(second)
            if self.retrain == "epochs" and second.finished != "max_epochs":
                self._keep(first)  # the best so far: what was begun anew is only half trained
                self.stopped_by_ = second.finished

    def _retrainer(
        self, first: Trainer, train: Batch, valid: Batch, best: int, callbacks: Sequence[Callback]
    ) -> Trainer | None:
        """Return the second training on all data, with what is left of the budget; none where none is needed."""
        if ("weights" in train) != ("weights" in valid):  # rows without a weight count once
            train, valid = _weighted(train), _weighted(valid)
        whole = {name: torch.cat([train[name], valid[name]]) for name in train}
        if self.retrain == "epochs":
            # Algorithm 7.2: anew, for as many passes over all data as the best epoch had seen of its part.
            second = self._trainer(self._make_network(), whole, None, callbacks, phase="retrain", epochs=best + 1)
        else:
            # Algorithm 7.3: go on until validation data, now trained on, fit as well as training data did.
            seen = {name: _as(tensor, torch.float32) for name, tensor in train.items()}
            with threads(first.n_threads):
                goal = agreed(self._evaluate(seen, first.network)["loss"])
            if first.history[best]["valid_loss"] <= goal:
                return None
            second = self._trainer(
                first.network, whole, valid, callbacks, phase="retrain", until=lambda row: row["valid_loss"] <= goal
            )
        time_left = None if self.max_time is None else max(0.0, self.max_time - first.elapsed)
        steps_left = None if self.max_steps is None else self.max_steps - first.step
        second.options = replace(second.options, max_time=time_left, max_steps=steps_left)
        return second

    def _trainer(
        self,
        network: nn.Module,
        train: Batch | Batches,
        valid: Batch | None,
        callbacks: Sequence[Callback],
        *,
        phase: str,
        epochs: int | None = None,
        until: Callable[[dict[str, Any]], bool] | None = None,
    ) -> Trainer:
        device = choose_device(self.device)
        seed = derive(self.seed_, phase)
        options = replace_options(self, max_epochs=self.max_epochs if epochs is None else epochs)
        dtype = torch.float32
        if isinstance(train, Mapping):
            n_rows = len(next(iter(train.values())))
            # One batch holds everything: double precision costs nothing at that size, and makes the sum over rows
            # independent of their order, so that a weight of two equals a row twice.
            small = self._double_fit and n_rows <= options.batch_size
            if small and self.precision == "float32" and device.type != "mps":
                dtype = torch.float64
            held = holds(device, sum(tensor.nbytes for tensor in train.values()))
            tensors = {name: _as(tensor, dtype).to(device if held else "cpu") for name, tensor in train.items()}
            moved: nn.Module = network.to(device, dtype)
            if held:
                moved, tensors = _prepared(network, tensors)
            batches: Batches = TensorBatches(
                tensors, batch_size=min(options.batch_size, n_rows), seed=derive(seed, "order")
            )
            batches = batches if held else OnDevice(batches, device)
        else:
            batches = train if device.type == "cpu" else OnDevice(train, device)
            moved = network.to(device, dtype)
        probe = next(batches.epoch(0))
        n_threads = choose_threads(moved, self._loss(moved), probe, self.n_threads)
        with threads(n_threads):
            precision = choose_precision(moved, self._loss(moved), probe, self.precision)
            planned = min(options.max_epochs * len(batches), options.max_steps or math.inf)
            compiled = choose_compile(
                moved, self._loss(moved), probe, self.compile, steps=int(planned), bf16=precision == "bf16"
            )
        precision, compiled = agreed([precision, compiled])
        options = replace(options, precision=precision, compile=compiled)
        store, tag = None, ""
        if self.checkpoint is not None:
            store = CheckpointStore(Path(self.checkpoint) / phase)
            known = train if isinstance(train, Mapping) else probe
            tag = digest(self, {**known, **{f"valid_{name}": tensor for name, tensor in (valid or {}).items()}})
        watch = until is None and valid is not None and self.early_stopping is not False
        evaluate = None
        if valid is not None:
            place = device if holds(device, sum(tensor.nbytes for tensor in valid.values())) else "cpu"
            evaluate = partial(self._evaluate, {name: _as(tensor, dtype).to(place) for name, tensor in valid.items()})
        told: list[Callback] = [*callbacks, *observers()]
        if self.verbose and is_first():
            told.append(ProgressBar(type(self).__name__))
        return Trainer(
            network,
            self._players(moved, options, derive(seed, "loss")),
            batches,
            options,
            evaluate=evaluate,
            seed=seed,
            n_threads=n_threads,
            callbacks=told,
            watch=watch,
            until=until,
            tag=tag,
            store=store,
        )

    def _run(self, trainer: Trainer) -> None:
        """Run the loop and keep what it learned, also when it stops on a NaN with the last good weights."""
        try:
            trainer.run()
        except BaseException as error:
            if trainer.lost:  # with the weights that a process had which is gone
                self._forget()
                raise
            if not isinstance(error, GradusError):
                self._keep(trainer)
            elif isinstance(error, NonFiniteError):  # any other is a checkpoint refused: nothing has been trained
                trainer.finished = "not_finite"
                self._keep(trainer)
            elif not hasattr(self, "network_"):
                self._forget()
            raise
        self._keep(trainer)

    def _keep(self, trainer: Trainer) -> None:
        self.network_ = trainer.network.eval().float()
        self.network_.zero_grad(set_to_none=True)  # as large as the weights, and of use to nobody
        self.history_ = trainer.history
        self.n_epochs_, self.n_steps_ = len(trainer.history), trainer.step
        self.stopped_by_ = trainer.finished
        self.n_threads_ = trainer.n_threads
        self.precision_ = trainer.players[0].options.precision
        self.execution_ = trainer.players[0].execution
        self.fit_seconds_ = trainer.elapsed
        monitor = trainer.monitor
        self.best_epoch_ = None if monitor is None else monitor.best_epoch

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, *, first: bool) -> Self:
        """One pass over the data given, with the optimizer's memory of the passes before."""
        self.check_settings()
        with self._learning(fresh=first):
            if first:
                self.seed_ = agreed(resolve_seed(self.random_state))
            train = self._encode(X, y, sample_weight, reset=first)
            if first:
                self.network_ = self._make_network()
                self.history_, self.n_steps_ = [], 0
        history, steps, memory = self.history_, self.n_steps_, getattr(self, "_memory", None)
        trainer = self._trainer(self.network_, train, None, (), phase=f"pass {len(history)}", epochs=1)
        if memory is not None:
            for player, state in zip(trainer.players, memory, strict=True):
                player.load_state_dict(state)
        self._run(trainer)
        self._memory = [player.state_dict() for player in trainer.players]
        rows = [{**row, "epoch": row["epoch"] + len(history), "step": row["step"] + steps} for row in self.history_]
        self.history_, self.n_epochs_, self.n_steps_ = history + rows, len(history) + 1, steps + trainer.step
        return self

    @contextmanager
    def _learning(self, *, fresh: bool) -> Iterator[None]:
        """Begin anew, or go on with the network there is; a fresh start that fails leaves the estimator unfitted."""
        if not fresh:
            for name, value in self.network_settings_.items():
                now = getattr(self, name)
                if now != value and _listed(now) != _listed(value):
                    mend = "set it back, or start anew with a clone or warm_start=False"
                    raise SettingError(f"{name}={value!r}, with which the network was built", repr(now), mend)
            yield
            return
        self._forget()
        try:
            yield
        except BaseException:
            self._forget()
            raise

    def _make_network(self) -> nn.Module:
        """Build with fresh weights, and remember the settings: `set_params` may change them before a save."""
        names = settings_of(type(self)).keys() - TrainingOptions.__dataclass_fields__.keys() - SHAPELESS
        self.network_settings_ = {name: getattr(self, name) for name in sorted(names)}
        processes = processes_launched() if self.shard != "off" and launched() else 1
        device = choose_device(self.device)
        check_footprint(self._build, optimizer=self.optimizer, device=device, processes=processes)
        with isolated(derive(self.seed_, "weights")):
            return self._build()

    def _forget(self) -> None:
        for name in [n for n in vars(self) if n.endswith("_") and not n.startswith("__")] + ["_memory"]:
            self.__dict__.pop(name, None)

    # -- answering -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _evaluate(self, valid: Batch, network: nn.Module) -> Mapping[str, float]:
        device = next(network.parameters()).device
        exact = torch.float64 if device.type != "mps" else torch.float32
        sums = []
        for chunk in _chunks(valid):
            part = {name: tensor.to(device) for name, tensor in chunk.items()}
            sums.append(torch.stack([s.to(device, exact).reshape(()) for s in self._measure(network, part)]))
        loss, score, count = torch.stack(sums).sum(0).tolist()
        return {"loss": loss / count, "score": score / count}

    def _forward(
        self, X: Any, answer: Callable[[Any, Tensor], Tensor] | None = None, *, double: bool = False
    ) -> Tensor:
        """Return the network's parameters for ``X``, or what ``answer(head, parameters)`` makes of them, on the CPU."""

        def ask(network: Any, *inputs: Tensor) -> Tensor:
            parameters = network(*inputs)
            return parameters if answer is None else answer(network.head, parameters)

        return self._ask(self._encode(X), ask, double=double)

    @torch.inference_mode()
    def _ask(self, tensors: Batch, function: Callable[..., Tensor], *, double: bool = False) -> Tensor:
        """Return ``function(network, *tensors)`` of all rows, a part of them at a time, on the CPU."""
        network: Any = self.network_.eval()
        device = next(network.parameters()).device
        dtype = torch.float64 if double and device.type != "mps" else torch.float32
        if dtype == torch.float64:
            network = copy.deepcopy(network).double()
        parts = []
        with threads(min(self.n_threads_, cores())):  # a model may come from a larger machine
            for batch in _chunks(tensors):
                parts.append(function(network, *(_as(tensor, dtype).to(device) for tensor in batch.values())).cpu())
        return torch.cat(parts)

    def _head(self) -> Any:
        """Return a copy of the network's head on the CPU, to make distributions of parameters."""
        network: Any = self.network_
        return copy.deepcopy(network.head).cpu()

    def _rebuild(self) -> dict[str, nn.Module]:
        twin = copy.copy(self)
        for name in self.network_settings_.keys() & settings_of(type(self)).keys():
            setattr(twin, name, self.network_settings_[name])
        with isolated(0):
            return {"network_": twin._build().eval()}


def trains_together(estimator: Any) -> bool:
    """Whether fitting it takes every process where several were started: it, or a part of it, is trained by gradients.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from gradus.estimators.mlp import MLPRegressor
    >>> trains_together(Ridge()), trains_together(MLPRegressor())
    (False, True)
    """
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(isinstance(part, GradientEstimator) for part in parts)


def replace_options(estimator: TrainingOptions, **changes: Any) -> TrainingOptions:
    """Return the training settings of ``estimator`` alone, with ``changes``."""
    values = {name: getattr(estimator, name) for name in TrainingOptions.__dataclass_fields__}
    # searches draw NumPy numbers, which not every torch function takes
    native = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return TrainingOptions(**native | changes)


def _prepared(network: nn.Module, tensors: Batch) -> tuple[nn.Module, Batch]:
    """Return the network without its preparation, where every batch would do the same again, and what it prepares.

    Standardizing keeps the bytes as they are and the numbers to the bit; pixels would take four times their memory.
    The layers are the network's own.
    """
    if not isinstance(network, HeadedNetwork) or not isinstance(network.prepare, Standardize):
        return network, tensors
    return HeadedNetwork(None, network.body, network.head), {**tensors, "inputs": network.prepare(tensors["inputs"])}


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def _weighted(tensors: Batch) -> Batch:
    return tensors if "weights" in tensors else {**tensors, "weights": torch.ones(len(next(iter(tensors.values()))))}


def _take(tensors: Batch, rows: np.ndarray) -> Batch:
    index = torch.from_numpy(rows)
    return {name: tensor[index] for name, tensor in tensors.items()}


def _chunks(tensors: Batch) -> list[Batch]:
    first = next(iter(tensors.values()))
    bytes_each = sum(t[:1].numel() * t.element_size() for t in tensors.values())
    size = max(1, min(ANSWER_ROWS, ANSWER_BYTES // max(1, bytes_each)))
    parts = [tensor.split(size) for tensor in tensors.values()]
    return [dict(zip(tensors, part, strict=True)) for part in zip(*parts, strict=True)] if len(first) else []
