"""The three workloads of `trainer.py`: data that are ready to compute with, and the network to be trained on them.

Every side gets the same standardized float32 numbers, laid out as it wants them, before its clock starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["LEARNING_RATE", "WORKLOADS", "Workload", "network"]

# Adam's, for every side.
LEARNING_RATE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """Data, network, amount of training, and what is asked of Gradus.

    Attributes
    ----------
    title, data : str
        What is trained; where the data come from.
    x_train, x_test : array of float32
        Tables ``(n, columns)`` or images ``(n, 1, height, width)``, standardized by the training part's moments.
    y_train, y_test : array of int64
        Classes, from 0.
    hidden : tuple of int
        Units of each hidden layer; of the one after the convolutions, for images.
    channels : tuple of int
        Channels of each convolution; none for tables.
    batch_size, epochs : int
        How much is trained.
    tolerance : float
        By how much a side's test accuracy may fall below the plain loop's, medians over the repeats.
    target : float
        The most time Gradus may take, as a multiple of the plain DataLoader loop's.
    sklearn_target : float or None
        How many times faster than scikit-learn Gradus shall be.
    """

    title: str
    data: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    hidden: tuple[int, ...]
    channels: tuple[int, ...] = ()
    batch_size: int
    epochs: int
    tolerance: float
    target: float
    sklearn_target: float | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.y_train.max()) + 1

    @property
    def updates(self) -> int:
        """Updates of the weights that every side makes: the last, smaller batch of an epoch counts."""
        return self.epochs * ceil(len(self.x_train) / self.batch_size)

    @cached_property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Inputs and classes to train on, for torch."""
        return torch.from_numpy(self.x_train), torch.from_numpy(self.y_train)

    @cached_property
    def channels_last(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs to train on and to test, the channel axis of images last: how Keras and Gradus take them."""
        images = bool(self.channels)
        train, test = (np.moveaxis(x, 1, -1) if images else x for x in (self.x_train, self.x_test))
        return np.ascontiguousarray(train), np.ascontiguousarray(test)

    def head(self, batches: int) -> Workload:
        """Return one epoch of the first ``batches`` batches: to warm up with, or to try a side out."""
        rows = min(batches * self.batch_size, len(self.x_train))
        return replace(self, x_train=self.x_train[:rows], y_train=self.y_train[:rows], epochs=1)


def network(work: Workload) -> nn.Sequential:
    """Return the network as a PyTorch user writes it, with torch's own initial weights."""
    if not work.channels:
        widths = [work.x_train.shape[1], *work.hidden]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], work.classes))
    widths = [1, *work.channels]
    blocks: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        blocks += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    shrunk = 2 ** len(work.channels)
    cells = widths[-1] * (work.x_train.shape[2] // shrunk) * (work.x_train.shape[3] // shrunk)
    dense = [nn.Flatten(), nn.Linear(cells, work.hidden[0]), nn.ReLU(), nn.Linear(work.hidden[0], work.classes)]
    return nn.Sequential(*blocks, *dense)


def _standardized(train: np.ndarray, test: np.ndarray, axis: int | None) -> dict[str, Any]:
    mean, std = train.mean(axis), train.std(axis)
    std = np.where(std == 0, 1.0, std)
    parts = {"x_train": (train - mean) / std, "x_test": (test - mean) / std}
    return {name: np.ascontiguousarray(part, np.float32) for name, part in parts.items()}


def digits() -> Workload:
    """Make workload a: small pictures as rows, so small a network that the loop around it is what counts."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    train, test, y_train, y_test = train_test_split(X, y, test_size=360, random_state=0, stratify=y)
    return Workload(
        title="digits, MLP 64-128-128-10, batch 64, 20 epochs",
        data="scikit-learn's digits, 1,437 rows to train and 360 to test",
        y_train=y_train.astype(np.int64),
        y_test=y_test.astype(np.int64),
        hidden=(128, 128),
        batch_size=64,
        epochs=20,
        tolerance=0.02,
        target=0.45,
        sklearn_target=1.3,
        **_standardized(train, test, 0),
    )


def mnist() -> Workload:
    """Make workload b: a convolutional network, where arithmetic is what counts."""
    home = os.environ.get("GRADUS_DATA")
    path = Path(home or "") / "vision" / "mnist.npz"
    if home is None or not path.is_file():
        raise SystemExit(f"error: expected vision/mnist.npz under GRADUS_DATA, got {path}; set GRADUS_DATA")
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    train, test = arrays["x_train"][:10_000], arrays["x_test"][:4000]
    return Workload(
        title="MNIST, conv32-conv64-fc128, batch 128, 1 epoch",
        data="MNIST, the first 10,000 training pictures to train and the first 4,000 test pictures to test",
        y_train=arrays["y_train"][:10_000].astype(np.int64),
        y_test=arrays["y_test"][:4000].astype(np.int64),
        hidden=(128,),
        channels=(32, 64),
        batch_size=128,
        epochs=1,
        tolerance=0.015,
        target=0.67,
        **_standardized(train[:, None].astype(np.float64), test[:, None].astype(np.float64), None),
    )


def table() -> Workload:
    """Make workload c: a long table, where gathering rows into batches counts as much as arithmetic."""
    from sklearn.datasets import make_classification

    X, y = make_classification(
        n_samples=110_000, n_features=50, n_informative=20, n_redundant=10, n_classes=4, class_sep=1.0, random_state=0
    )
    return Workload(
        title="table of 100,000 x 50, MLP 50-256-256-4, batch 256, 1 epoch",
        data="generated (scikit-learn's make_classification, random_state=0), 100,000 rows to train and 10,000 to "
        "test: it measures speed and says nothing about real tables",
        y_train=y[:100_000].astype(np.int64),
        y_test=y[100_000:].astype(np.int64),
        hidden=(256, 256),
        batch_size=256,
        epochs=1,
        tolerance=0.02,
        target=0.5,
        **_standardized(X[:100_000], X[100_000:], 0),
    )


WORKLOADS: dict[str, Callable[[], Workload]] = {"a": digits, "b": mnist, "c": table}
