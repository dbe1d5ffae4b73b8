"""The doctor on a run: its data, its network as it was before training, its loss and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from gradus.core.errors import DataError
from gradus.estimators.gradient import replace_options
from gradus.estimators.supervised import SupervisedEstimator
from gradus.practice.doctor.examination import examine_build
from gradus.practice.doctor.findings import Diagnosis
from gradus.practice.doctor.range_test import with_range
from gradus.practice.doctor.recording import look_inside
from gradus.runs.job import prepare_again
from gradus.runs.opened_rows import OpenedRows
from gradus.runs.record import RunFolder
from gradus.training.optimizers import build_optimizers

__all__ = ["examine_run"]


def examine_run(path: str | Path, *, max_time: float, view: bool = False) -> Diagnosis:
    """Examine the network of a run on rows with a target: a table, images or texts.

    Parameters
    ----------
    path : str or Path
        The run's folder. Nothing is written into it.
    max_time : float
        Most time to take, in seconds.
    view : bool
        Record histograms and the graph as well, for the page.

    Raises
    ------
    DataError
        If the folder holds no run, its data are gone or have changed, or it learned something else than a target.
    """
    folder = RunFolder.open(path)
    started = prepare_again(folder, folder.read_record())
    opened, asked = started.opened, started.estimator
    if not isinstance(opened, OpenedRows) or not isinstance(asked, SupervisedEstimator) or asked.members > 1:
        mend = "examine a script instead: gradus doctor script.py"
        raise DataError("a run of one network on rows with a target", f"one that learned {opened.task}", mend)
    contest = opened.contest()
    train, valid = contest.train, contest.valid

    def build(seed: int = 0) -> dict[str, Any]:
        estimator = clone(asked)
        estimator.seed_ = seed
        rows = estimator._encode(train.X, train.y, reset=True)
        judged = estimator._encode(valid.X, valid.y)
        network: Any = estimator._make_network()
        names = [name for name in rows if name not in ("targets", "weights")]
        optimizer = build_optimizers(network.parameters(), replace_options(estimator))

        def loss(parameters: Tensor, targets: Tensor) -> Tensor:
            return network.head.total_loss(parameters, targets) / len(targets)

        return {
            "network": network, "loss": loss, "optimizer": optimizer, "batch_size": estimator.batch_size,
            "epochs": min(estimator.max_epochs, 30),
            "train": tuple(_floats(rows[name]) for name in [*names, "targets"]),
            "valid": tuple(_floats(judged[name]) for name in [*names, "targets"]),
        }  # fmt: skip

    diagnosis = with_range(examine_build(build, max_time=max_time), build)
    if view:
        diagnosis.view = look_inside(build, diagnosis)
    return diagnosis


def _floats(tensor: Tensor) -> Tensor:
    """Return pixels as numbers; tokens and classes stay whole."""
    return tensor.float() if tensor.is_floating_point() or tensor.dtype == torch.uint8 else tensor
