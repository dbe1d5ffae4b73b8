"""Land cover from satellite pixels (Statlog), with gradient accumulation to mimic batches of 64."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from data import table

ACCUMULATE = 4


class Accumulator:
    def __init__(self, every: int) -> None:
        self.every = every
        self.seen = 0

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor], optimizer, criterion) -> None:
        x, y = batch
        loss = criterion(network(x), y) / self.every
        loss.backward()
        self.seen += 1
        if self.seen % self.every == 0:
            optimizer.step()
            optimizer.zero_grad()


def read() -> tuple[Tensor, Tensor]:
    frame = table("Satellite")
    labels = sorted(frame["classes"].unique())
    y = torch.tensor([labels.index(c) for c in frame["classes"]])
    x = torch.tensor(frame.drop(columns="classes").to_numpy("float32"))
    return x, y


def build(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    x, y = read()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(99))
    x, y = x[order], y[order]
    n = 4800
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    net = nn.Sequential(nn.Linear(36, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 6))
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "step": Accumulator(ACCUMULATE),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        "batch_size": 16,
        "epochs": 10,
    }
