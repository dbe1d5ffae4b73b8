"""House values around Boston: SGD at a constant rate, and an average of its weights (Polyak) for the answers."""
import copy

import numpy as np
import torch
from torch import nn

from data import table


class Averaged(nn.Module):
    """Trains one network, answers with the running average of its weights."""

    def __init__(self, net, decay=0.99):
        super().__init__()
        self.net = net
        self.average = copy.deepcopy(net).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def follow(self):
        for slow, fast in zip(self.average.parameters(), self.net.parameters()):
            slow.lerp_(fast, 1 - self.decay)

    def forward(self, x):
        return self.net(x) if self.training else self.average(x)


def step(model, batch, optimizer, loss):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    model.follow()
    return value.item()


def houses():
    frame = table("BostonHousing2").sample(frac=1, random_state=6)
    y = frame["cmedv"].to_numpy(np.float32)
    columns = ["crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat", "lon", "lat"]
    x = frame[columns].to_numpy(np.float32)
    n = 380
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    y = (y - y[:n].mean()) / y[:n].std()
    x, y = torch.from_numpy(x), torch.from_numpy(y)[:, None]
    return (x[:n], y[:n]), (x[n:], y[n:])


def build(seed=0):
    torch.manual_seed(seed)
    train, valid = houses()
    model = Averaged(nn.Sequential(nn.Linear(15, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 1)))
    return {"network": model, "loss": nn.MSELoss(), "step": step, "train": train, "valid": valid,
            "optimizer": torch.optim.SGD(model.net.parameters(), lr=0.05, momentum=0.5, weight_decay=1e-3), "batch_size": 10, "epochs": 60}
