"""The sides of `trainer.py`: each trains one network on one workload with one library, and says what it did.

A side's clock runs from arrays or tensors in memory to a trained network: building the network, the optimizer and
whatever runs the training is part of it, importing the library is not.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from trainer_workloads import LEARNING_RATE, Workload, network

__all__ = ["SIDES", "Fitted", "Side"]


@dataclass(frozen=True)
class Fitted:
    """What came of one fit: asked for after the clock has stopped."""

    predict: Callable[[], np.ndarray]  # classes of the test part
    parameters: Callable[[], int]
    updates: Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A way to train.

    Attributes
    ----------
    label, settings : str
        Its name in the tables, and what was set and left alone, in words.
    fit : callable
        ``(workload, seed) -> Fitted``; timed.
    package : str
        Distribution whose version is recorded.
    module : str
        What must be importable.
    images : bool
        Whether it trains convolutional networks.
    framework : bool
        Whether it is one of the peers that Gradus is to beat by 1.4.
    one_thread : bool
        Whether it is measured on one thread too; of a library's two settings, the faster one is.
    """

    label: str
    settings: str
    fit: Callable[[Workload, int], Fitted]
    package: str
    module: str
    images: bool = True
    framework: bool = False
    one_thread: bool = True

    @property
    def present(self) -> bool:
        """Whether the library is installed."""
        return find_spec(self.module) is not None


# -- plain torch -----------------------------------------------------------------------------------------------------


def _torch_fitted(model: nn.Module, work: Workload, optimizer: torch.optim.Optimizer) -> Fitted:
    @torch.no_grad()
    def predict() -> np.ndarray:
        model.eval()
        return torch.cat([model(part).argmax(1) for part in torch.from_numpy(work.x_test).split(1000)]).numpy()

    return Fitted(predict, lambda: sum(p.numel() for p in model.parameters()), lambda: _steps(optimizer))


def _steps(optimizer: Any) -> int:
    return int(next(iter(optimizer.state.values()))["step"])


def plain(work: Workload, seed: int) -> Fitted:
    """Train by the loop of PyTorch's tutorials: a DataLoader, zero the gradients, backward, step."""
    torch.manual_seed(seed)
    model = network(work)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loader = DataLoader(TensorDataset(*work.tensors), batch_size=work.batch_size, shuffle=True)
    model.train()
    for _ in range(work.epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    return _torch_fitted(model, work, optimizer)


def tensors(work: Workload, seed: int) -> Fitted:
    """Train by slices of one permutation, with fused Adam, and channels last for images: the hand-tuned loop."""
    torch.manual_seed(seed)
    model = network(work)
    inputs, targets = work.tensors
    if work.channels:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    model.train()
    for _ in range(work.epochs):
        for rows in torch.randperm(len(inputs)).split(work.batch_size):
            batch = inputs[rows]
            if work.channels:
                batch = batch.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            F.cross_entropy(model(batch), targets[rows]).backward()
            optimizer.step()
    return _torch_fitted(model, work, optimizer)


# -- Gradus ----------------------------------------------------------------------------------------------------------


def gradus(work: Workload, seed: int) -> Fitted:
    """Fit the estimator at its defaults, input checks, standardization and timed thread probe included."""
    from gradus.applications.vision import ImageClassifier
    from gradus.estimators.mlp import MLPClassifier
    from gradus.training import probes

    # Within one process a second fit of the same network remembers what the first one measured; every repeat is to pay.
    probes._threads.clear()
    probes._precisions.clear()
    train, test = work.channels_last
    model: Any
    if work.channels:
        (features,) = work.hidden
        model = ImageClassifier(channels=work.channels, features=features)
    else:
        model = MLPClassifier(hidden=work.hidden)
    model.set_params(max_epochs=work.epochs, batch_size=work.batch_size, learning_rate=LEARNING_RATE)
    model.set_params(random_state=seed).fit(train, work.y_train)
    return Fitted(
        lambda: model.predict(test),
        lambda: sum(p.numel() for p in model.network_.parameters()),
        lambda: model.n_steps_,
    )


# -- peers -----------------------------------------------------------------------------------------------------------


def sklearn(work: Workload, seed: int) -> Fitted:
    """Fit scikit-learn's MLPClassifier."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(work.hidden, batch_size=work.batch_size, max_iter=work.epochs, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that max_iter was reached is what was asked for
        model.fit(work.x_train, work.y_train)
    return Fitted(
        lambda: model.predict(work.x_test),
        lambda: sum(w.size for w in [*model.coefs_, *model.intercepts_]),
        lambda: model._optimizer.t,
    )


def skorch(work: Workload, seed: int) -> Fitted:
    """Fit skorch's NeuralNetClassifier."""
    from skorch import NeuralNetClassifier

    torch.manual_seed(seed)
    net = NeuralNetClassifier(
        partial(network, work),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=work.batch_size,
        max_epochs=work.epochs,
        iterator_train__shuffle=True,
        train_split=None,
    )
    net.fit(work.x_train, work.y_train)
    return Fitted(
        lambda: net.predict(work.x_test),
        lambda: sum(p.numel() for p in net.module_.parameters()),
        lambda: _steps(net.optimizer_),
    )


@cache
def _lightning_module() -> Any:
    from lightning import LightningModule

    class Classifier(LightningModule):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            inputs, targets = batch
            return F.cross_entropy(self.model(inputs), targets)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    return Classifier


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # what Lightning logs and stores; gone when the process ends


def lightning(work: Workload, seed: int, *, bare: bool) -> Fitted:
    """Fit Lightning's Trainer, as it comes or without what it does beside training."""
    from lightning import Trainer

    torch.manual_seed(seed)
    module = _lightning_module()(network(work))
    loader = DataLoader(TensorDataset(*work.tensors), batch_size=work.batch_size, shuffle=True)
    names = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    off: dict[str, Any] = dict.fromkeys(names, False) if bare else {}
    trainer = Trainer(max_epochs=work.epochs, default_root_dir=_folder().name, **off)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that loading has no worker processes
        trainer.fit(module, loader)
    fitted = _torch_fitted(module.model, work, trainer.optimizers[0])
    return Fitted(fitted.predict, fitted.parameters, lambda: trainer.global_step)


def keras(work: Workload, seed: int, *, quiet: bool) -> Fitted:
    """Compile and fit a Keras model on torch."""
    from keras import Input, Sequential, layers, losses, optimizers, utils

    utils.set_random_seed(seed)
    train, test = work.channels_last
    blocks: list[Any] = [Input(train.shape[1:])]
    for channels in work.channels:
        blocks += [layers.Conv2D(channels, 3, padding="same", activation="relu"), layers.MaxPooling2D(2)]
    blocks += [layers.Flatten()] if work.channels else []
    blocks += [layers.Dense(units, activation="relu") for units in work.hidden]
    model = Sequential([*blocks, layers.Dense(work.classes)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizers.Adam(LEARNING_RATE), loss=loss)
    verbose = 0 if quiet else "auto"
    model.fit(train, work.y_train, batch_size=work.batch_size, epochs=work.epochs, verbose=verbose)
    return Fitted(
        lambda: model.predict(test, verbose=0, batch_size=1000).argmax(1),
        model.count_params,
        lambda: int(model.optimizer.iterations),
    )


_KERAS = "torch backend; Sequential, compile(Adam(1e-3), SparseCategoricalCrossentropy(from_logits=True)), fit"
_LIGHTNING = "LightningModule with cross entropy and torch's Adam(lr=1e-3), DataLoader(shuffle=True)"

SIDES: dict[str, Side] = {
    "plain": Side(
        label="plain loop, DataLoader",
        settings="TensorDataset, DataLoader(shuffle=True), torch's Adam(lr=1e-3), zero_grad, backward, step; nothing "
        "logged, no loss read",
        fit=plain,
        package="torch",
        module="torch",
    ),
    "tensors": Side(
        label="plain loop, tensors",
        settings="one permutation an epoch, rows gathered by index, Adam(lr=1e-3, fused=True); images channels last",
        fit=tensors,
        package="torch",
        module="torch",
    ),
    "gradus": Side(
        label="Gradus",
        settings="MLPClassifier or ImageClassifier with the sizes of the workload, all else at its default; each fit "
        "checks and standardizes its input and measures anew how many threads to use",
        fit=gradus,
        package="gradus-dl",
        module="gradus",
    ),
    "sklearn": Side(
        label="scikit-learn MLPClassifier",
        settings="hidden_layer_sizes, batch_size, max_iter (the epochs); float32 input; all else at its default",
        fit=sklearn,
        package="scikit-learn",
        module="sklearn",
        images=False,
    ),
    "skorch": Side(
        label="skorch NeuralNetClassifier",
        settings="train_split=None (its default trains on four fifths of the rows, which would be less work), "
        "CrossEntropyLoss, torch's Adam, lr=1e-3, shuffle=True; callbacks and printing at their defaults",
        fit=skorch,
        package="skorch",
        module="skorch",
        framework=True,
    ),
    "lightning": Side(
        label="Lightning Trainer",
        settings=f"{_LIGHTNING}; Trainer at its defaults: logger, checkpoints, progress bar, model summary",
        fit=partial(lightning, bare=False),
        package="lightning",
        module="lightning",
        framework=True,
        one_thread=False,
    ),
    "lightning_bare": Side(
        label="Lightning Trainer, extras off",
        settings=f"{_LIGHTNING}; logger, checkpoints, progress bar and model summary off",
        fit=partial(lightning, bare=True),
        package="lightning",
        module="lightning",
        framework=True,
    ),
    "keras": Side(
        label="Keras",
        settings=f"{_KERAS} at its defaults, progress bar included",
        fit=partial(keras, quiet=False),
        package="keras",
        module="keras",
        framework=True,
        one_thread=False,
    ),
    "keras_quiet": Side(
        label="Keras, verbose=0",
        settings=f"{_KERAS} with verbose=0",
        fit=partial(keras, quiet=True),
        package="keras",
        module="keras",
        framework=True,
    ),
}
