"""The doctor on a run: its data, its network as it was before training, its loss and its settings."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor, nn

from gradus.core.errors import DataError
from gradus.core.randomness import generator
from gradus.data.batches import Batch, Batches, TensorBatches
from gradus.estimators.gradient import replace_options, trains_together
from gradus.estimators.supervised import SupervisedEstimator
from gradus.practice.doctor.examination import examine_build
from gradus.practice.doctor.findings import Diagnosis
from gradus.practice.doctor.range_test import with_range
from gradus.practice.doctor.recording import look_inside
from gradus.runs.generalization import generalized
from gradus.runs.job import Prepared, prepare_again
from gradus.runs.opened_rows import OpenedRows
from gradus.runs.record import RunFolder
from gradus.training.loop import Trainer
from gradus.training.observers import observed_by
from gradus.training.optimizers import build_optimizers

__all__ = ["build_of_run", "examine_run"]

EPOCHS = 30  # a fault shows in as many
ROWS = 256  # a validation batch


def examine_run(
    path: str | Path,
    *,
    max_time: float,
    view: bool = False,
    generalization: float | None = None,
    goal: float | None = None,
) -> Diagnosis:
    """Examine the network of a run, whatever it learned: rows with a target, rows alone, texts or series.

    Parameters
    ----------
    path : str or Path
        The run's folder. Nothing is written into it.
    max_time : float
        Most time to take, in seconds.
    view : bool
        Record histograms and the graph as well, for the page.
    generalization : float, optional
        Seconds to spend on what more data, other seeds and cleaner targets would bring, beyond ``max_time``.
    goal : float, optional
        What the run's metric should reach, by which under- and overfitting are told; the best baseline by default.

    Raises
    ------
    DataError
        If the folder holds no run, its data are gone or have changed, or nothing of it is trained by gradients.
    """
    folder = RunFolder.open(path)
    record = folder.read_record()
    started = prepare_again(folder, record)
    build = build_of_run(started)
    diagnosis = with_range(examine_build(build, max_time=max_time), build)
    if generalization is not None:
        diagnosis.measures["generalization"] = generalized(
            folder, record, started, build, max_time=generalization, goal=goal
        ).as_dict()
    if view:
        diagnosis.view = look_inside(build, diagnosis)
    return diagnosis


def build_of_run(started: Prepared) -> Callable[..., dict[str, Any]]:
    """Return ``build(seed=0)`` of a run's network, as `examine_build` takes it.

    Parameters
    ----------
    started : Prepared
        The run's data and settings, read anew.

    Raises
    ------
    DataError
        If nothing of the run is trained by gradients.
    """
    opened, asked = started.opened, started.estimator
    if not trains_together(asked):
        mend = "there are no steps to look at; `gradus inspect` tells what the run holds"
        raise DataError("a run with a network that is trained by gradients", f"a {type(asked).__name__}", mend)
    plain = isinstance(asked, SupervisedEstimator) and asked.members == 1 and asked.optimizer != "lbfgs"
    if isinstance(opened, OpenedRows) and plain:
        return functools.partial(_supervised, asked, opened.contest())
    caught: dict[int, Trainer] = {}

    def build(seed: int = 0) -> dict[str, Any]:
        if seed not in caught:
            caught[seed] = _caught(started, seed)
        return _parts(caught[seed])

    return build


def _supervised(asked: SupervisedEstimator, contest: Any, seed: int = 0) -> dict[str, Any]:
    """Return the parts of a network with inputs and targets."""
    estimator = clone(asked)
    estimator.seed_ = seed
    rows = estimator._encode(contest.train.X, contest.train.y, reset=True)
    judged = estimator._encode(contest.valid.X, contest.valid.y)
    network: Any = estimator._make_network()
    names = [name for name in rows if name not in ("targets", "weights")]
    optimizer = build_optimizers(network.parameters(), replace_options(estimator))

    def loss(parameters: Tensor, targets: Tensor) -> Tensor:
        return network.head.total_loss(parameters, targets) / len(targets)

    return {
        "network": network, "loss": loss, "optimizer": optimizer, "batch_size": estimator.batch_size,
        "epochs": min(estimator.max_epochs, EPOCHS),
        "train": tuple(_floats(rows[name]) for name in [*names, "targets"]),
        "valid": tuple(_floats(judged[name]) for name in [*names, "targets"]),
    }  # fmt: skip


def _floats(tensor: Tensor) -> Tensor:
    """Return pixels as numbers; tokens and classes stay whole."""
    return tensor.float() if tensor.is_floating_point() or tensor.dtype == torch.uint8 else tensor


# ---- any other network: its training is begun, and caught before the first step ----


class _Begun(BaseException):
    """A training that was about to take its first step; no error, so that nobody on the way handles it."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer


def _caught(started: Prepared, seed: int) -> Trainer:
    """Return the training that fitting the run's network begins, before its first step."""

    def catch(trainer: Trainer, event: str) -> None:
        if event == "start":
            raise _Begun(trainer)

    estimator = clone(started.estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=seed)
    with observed_by(catch):
        try:
            started.opened.contest().fit(estimator, started.rungs[-1])
        except _Begun as begun:
            return begun.trainer
    mend = "examine a script instead: gradus doctor script.py"
    raise DataError("a run whose network takes steps", f"a {type(estimator).__name__} that took none", mend)


class _Epochs:
    """Batches as the doctor iterates over them: each time the next epoch's."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self.epoch = batches, 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        self.epoch += 1
        return self.batches.epoch(self.epoch - 1)


def _parts(trainer: Trainer) -> dict[str, Any]:
    """Return the parts of a training with fresh copies of all that it changes."""
    players, options = trainer.players, trainer.options
    network, losses = copy.deepcopy((players[0].network, [player.loss for player in players]))
    network.train()
    own = [_same(players[0].network, network, player.parameters) for player in players]
    pairs = zip(own, players, strict=True)
    optimizers: list[list[Any]] = [list(build_optimizers(p, player.options)) for p, player in pairs]
    noise = generator(trainer.seed, next(network.parameters()).device)
    steps = len(trainer.batches)
    epochs = min(options.max_epochs, EPOCHS, -(-options.max_steps // steps) if options.max_steps else EPOCHS)
    tensors = getattr(trainer.evaluate, "args", (None,))[0]
    valid = TensorBatches(tensors, batch_size=ROWS, shuffle=False) if isinstance(tensors, dict) else None

    def mean(k: int, given: nn.Module, batch: Batch) -> Tensor:
        found = losses[k](given, batch, noise)
        return found.total / found.count

    def slope(k: int, given: nn.Module, batch: Batch) -> Tensor:
        for parameter in own[k]:
            parameter.grad = None
        value = mean(k, given, batch)
        value.backward(inputs=own[k])
        return value

    def step(given: nn.Module, batch: Batch, _: Any, __: Any) -> Tensor:
        """Let each player act, as the loop does."""
        told = []
        for k, movers in enumerate(optimizers):
            asked: Any = functools.partial(slope, k, given, batch)  # L-BFGS asks more than once
            told += [optimizer.step(asked).detach() for optimizer in movers]
        return told[0]

    parts: dict[str, Any] = {
        "network": network, "objective": lambda given, batch: mean(0, given, batch), "epochs": max(1, epochs),
        "train": _Epochs(trainer.batches), "optimizer": [optimizer for movers in optimizers for optimizer in movers],
    }  # fmt: skip
    if valid is not None:
        parts["valid"] = _Epochs(valid)
    return parts if len(players) == 1 and options.optimizer != "lbfgs" else parts | {"step": step}


def _same(before: nn.Module, after: nn.Module, chosen: list[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters of a copy that stand where the chosen ones do."""
    places = {id(p): k for k, p in enumerate(before.parameters())}
    copies = list(after.parameters())
    return [copies[places[id(p)]] for p in chosen]
