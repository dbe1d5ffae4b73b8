"""Data, networks and trainers so small that hundreds of trainings fit into a test run."""

import torch
from torch import nn

from gradus.core.randomness import derive, generator, isolated
from gradus.core.trees import flatten
from gradus.data.batches import TensorBatches
from gradus.networks import MLP, CategoricalHead, HeadedNetwork
from gradus.training.checkpoints import CheckpointStore
from gradus.training.loop import Trainer
from gradus.training.losses import head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

FEATURES, CLASSES = 4, 3


def rows(n=26, seed=0, dtype=torch.float32):
    source = generator(seed)
    inputs = torch.randn(n, FEATURES, generator=source, dtype=torch.float64)
    targets = (inputs @ torch.randn(FEATURES, CLASSES, generator=generator(7), dtype=torch.float64)).argmax(1)
    return {"inputs": inputs.to(dtype), "targets": targets}


def classifier(seed=0, dtype=torch.float32, **shape):
    with isolated(seed):
        body = MLP(FEATURES, (6, 5), **{"activation": "tanh", **shape})
        return HeadedNetwork(None, body, CategoricalHead(5, CLASSES)).to(dtype)


def measured(data):
    """Return the evaluation of a classifier on ``data``, as the loop wants it."""

    @torch.no_grad()
    def evaluate(network):
        loss = head_loss(network.head, metrics=True)(network, data, torch.Generator())
        return {"loss": float(loss.total) / loss.count, "score": float(loss.metrics["correct"]) / loss.count}

    return evaluate


def trainer(folder=None, *, network=None, data=None, loss=None, seed=0, computing_threads=1, **rest):
    """Return a trainer of one player; what is no option of training goes to the Trainer."""
    given = {name: rest.pop(name) for name in list(rest) if name in TrainingOptions.__dataclass_fields__}
    options = TrainingOptions(**{"batch_size": 8, "max_epochs": 3, **given})
    network = classifier() if network is None else network
    data = rows() if data is None else data
    loss = head_loss(network.head) if loss is None else loss
    return Trainer(
        network,
        [Player("network", network, loss, options, seed=derive(seed, "loss"))],
        TensorBatches(data, batch_size=options.batch_size, seed=derive(seed, "order")),
        options,
        seed=seed,
        n_threads=computing_threads,
        store=None if folder is None else CheckpointStore(folder),
        **rest,
    )


def state(trained):
    """Return everything a finished training holds but its times, as named tensors and a structure."""
    tree = {
        "weights": dict(trained.network.state_dict()),
        "players": {player.name: player.state_dict() for player in trained.players},
        "average": None if trained.average is None else trained.average.values,
        "monitor": None if trained.monitor is None else trained.monitor.state_dict(),
        "plateau": list(trained.plateau),
        "position": [trained.epoch, trained.offset, trained.step],
        "finished": trained.finished,
        "history": [{k: v for k, v in row.items() if k != "seconds"} for row in trained.history],
    }
    tensors, structure = flatten(tree)
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}, structure


def assert_same(one, other):
    """Two states agree to the last bit."""
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    for name, tensor in one[0].items():
        assert tensor.dtype == other[0][name].dtype and torch.equal(tensor, other[0][name]), name


class Crash(Exception):
    """Stands for whatever ends a process between two steps."""


def crash_at(step, event="tick"):
    """Return a callback that ends training when ``step`` updates are made, before they are saved."""

    def callback(trained, happened):
        if happened == event and trained.step == step:
            raise Crash

    return callback


class Flat(nn.Module):
    """One vector of parameters, returned whatever the input."""

    def __init__(self, *values):
        super().__init__()
        self.point = nn.Parameter(torch.tensor(values))

    def forward(self, inputs):
        return self.point.expand(len(inputs), -1)
