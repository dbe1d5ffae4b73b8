"""Speed of convolutional networks: training beside the same network in a plain torch loop, in skorch and in Keras.

All sides begin with the same weights, take the same number of Adam steps (learning rate 0.001) on batches of 128
pictures of MNIST, and take turns. The plain loop is the one of the tutorials: a ``DataLoader`` over tensors in float32,
channels first, torch's Adam as it comes. skorch fits by ``partial_fit`` on the pictures of a round, Keras, whose
network is one of its own layers with the same weights, by ``fit`` with ``verbose=0``. Ratios are Gradus over the other
(above 1: Gradus is faster); after the last round each side is judged by its loss on test pictures. skorch and Keras
run where they are installed (``requirements.txt``).
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from racing import Asked, raced, stepping
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from gradus.data.batches import OnDevice, TensorBatches
from gradus.networks import CategoricalHead, HeadedNetwork, PixelScale
from gradus.networks.convolutional import LeNet5, ResNet
from gradus.training.loop import Trainer
from gradus.training.losses import head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

__all__ = ["ROWS", "Asked"]

BATCH, RATE, TRAIN, TEST = 128, 1e-3, 20_000, 2_000
TOLERANCE = 0.05


def pictures() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return bytes of shape (n, 28, 28, 1) and classes, to train and to test."""
    with np.load(Path(os.environ["GRADUS_DATA"]) / "vision" / "mnist.npz", allow_pickle=False) as found:
        parts = found["x_train"][:TRAIN], found["y_train"][:TRAIN], found["x_test"][:TEST], found["y_test"][:TEST]
    x, y, x_test, y_test = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    return x.unsqueeze(3), y.long(), x_test.unsqueeze(3), y_test.long()


def gradus_trainer(network: nn.Module, x: Tensor, y: Tensor, asked: Asked) -> Callable[[int], None]:
    """Return a function that lets Gradus's loop take the given number of steps."""
    network.to(asked.device)
    options = TrainingOptions(learning_rate=RATE, max_epochs=1_000_000)
    batches: Any = TensorBatches({"inputs": x, "targets": y}, batch_size=BATCH)
    batches = OnDevice(batches, torch.device(asked.device)) if asked.cuda else batches
    player = Player("network", network, head_loss(network.head), options)  # type: ignore[arg-type]
    trainer = Trainer(network, [player], batches, options, n_threads=torch.get_num_threads())

    return stepping(trainer)


def plain_trainer(network: nn.Module, x: Tensor, y: Tensor, asked: Asked) -> Callable[[int], None]:
    """Return a function that takes steps of the loop of the tutorials."""
    network.to(asked.device).train()
    loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)

    def forever() -> Iterator[list[Tensor]]:
        while True:
            yield from loader

    source = forever()

    def steps(n: int) -> None:
        for _ in range(n):
            inputs, targets = (part.to(asked.device) for part in next(source))
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), targets).backward()
            optimizer.step()

    return steps


def skorch_trainer(network: nn.Module, x: Tensor, y: Tensor, asked: Asked) -> Callable[[int], None]:
    """Return a function that lets skorch fit the pictures of as many batches."""
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(
        network,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=RATE,
        batch_size=BATCH,
        max_epochs=1,
        iterator_train__shuffle=True,
        train_split=None,
        device=asked.device,
        verbose=0,
    )
    net.initialize()
    network.__dict__["fitted"] = net.module_
    position = 0

    def steps(n: int) -> None:
        nonlocal position
        index = torch.arange(position, position + n * BATCH) % len(x)
        position += n * BATCH
        net.partial_fit(x[index], y[index])

    return steps


@torch.no_grad()
def held_out(network: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor, asked: Asked) -> float:
    """Return the mean loss on test pictures, normalized by their own batches: running means lag behind for long."""
    if isinstance(network, nn.Module):
        network.train()
    parts = zip(inputs.split(BATCH), targets.split(BATCH), strict=True)
    sums = [F.cross_entropy(network(x.to(asked.device)).cpu(), y, reduction="sum") for x, y in parts]
    return float(torch.stack(sums).sum()) / len(targets)


def training(asked: Asked, body: nn.Module, *, steps: int, warm: int) -> dict[str, Any]:
    """Train one network on every side."""
    x, y, x_test, y_test = pictures()
    scale = PixelScale.from_data(x)
    mine = HeadedNetwork(scale, body, CategoricalHead(int(body.out_features), 10))  # type: ignore[arg-type]
    linear = mine.head.linear  # type: ignore[union-attr]
    others = {"plain": nn.Sequential(copy.deepcopy(body), copy.deepcopy(linear))}
    others |= {"skorch": copy.deepcopy(others["plain"])} if find_spec("skorch") is not None else {}
    floats, test = scale(x).contiguous().float(), scale(x_test).contiguous().float()
    sides = {"gradus": gradus_trainer(mine, x, y, asked), "plain": plain_trainer(others["plain"], floats, y, asked)}
    if "skorch" in others:
        sides["skorch"] = skorch_trainer(others["skorch"], floats, y, asked)
    judged: dict[str, tuple[Any, Tensor]] = {"gradus": (mine, x_test)}
    if find_spec("keras") is not None:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        from networks_vision_keras import keras_side

        side = keras_side(copy.deepcopy(body), copy.deepcopy(linear), floats, asked)
        sides["keras"], judged["keras"] = side.trainer(floats, y, BATCH), (side, test)
    row = raced(sides, asked, steps=steps, warm=warm, units=BATCH)
    judged |= {name: (net.__dict__.get("fitted", net), test) for name, net in others.items()}
    nats = {name: held_out(*pair, y_test, asked) for name, pair in judged.items()}
    equal = nats["gradus"] < min(nats.values()) + TOLERANCE
    parameters = sum(p.numel() for p in mine.parameters())
    return {"parameters": parameters, "held_out_nats": nats, "equal_loss": equal, "batch_size": BATCH, **row}


def lenet(asked: Asked) -> dict[str, Any]:
    """Train LeNet-5 on MNIST."""
    torch.manual_seed(0)
    return training(asked, LeNet5(1), steps=60, warm=5)


def resnet(asked: Asked) -> dict[str, Any]:
    """Train the residual network (depth 1, width 16) on MNIST."""
    torch.manual_seed(0)
    return training(asked, ResNet(1, depth=1, width=16), steps=60, warm=3)


ROWS: dict[str, Callable[[Asked], dict[str, Any]]] = {"lenet": lenet, "resnet": resnet}
