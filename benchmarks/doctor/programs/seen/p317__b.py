"""How many people ride the L tomorrow, with an error bar: a network for the mean and one for the log variance."""
import math

import numpy as np
import torch
import torch.nn as nn
from data import series

STATIONS = ["Austin", "Quincy_Wells", "Belmont", "Archer_35th", "Oak_Park", "Western", "Clark_Lake", "Clinton"]


class MeanVariance(nn.Module):
    def __init__(self, n_in, hidden=40):
        super().__init__()
        self.mu = nn.Sequential(nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.log_var = nn.Sequential(nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x):
        return self.mu(x), self.log_var(x).clamp(-6, 6)


def nll(network, batch):
    x, y = batch
    mu, log_var = network(x)
    return 0.5 * (log_var + (y - mu) ** 2 / log_var.exp() + math.log(2 * math.pi)).mean()


def windows(n=2400):
    frame = series("chicago_ridership_daily").iloc[:n]
    rides = frame["ridership"].to_numpy()
    week = np.stack([rides[i : n - 14 + i] for i in range(14)], axis=1)
    others = frame[STATIONS].to_numpy()[13 : n - 1]
    weekday = np.eye(7)[np.arange(14, n) % 7]
    return np.concatenate([week, others, weekday], axis=1).astype(np.float32), rides[14:].astype(np.float32)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = windows()
    n = 1800
    x = torch.tensor((x - x[:n].mean(0)) / x[:n].std(0))
    y = torch.tensor((y - y[:n].mean()) / y[:n].std())[:, None]
    network = MeanVariance(x.shape[1])
    return {"network": network, "objective": nll, "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": torch.optim.Adam(network.parameters(), lr=2e-3), "batch_size": 50, "epochs": 20}
