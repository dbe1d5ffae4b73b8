"""Saddle-to-saddle: fat, water and protein of meat from its spectrum, by a net that starts next to zero.

Exercise of the seminar on incremental learning: with small initial weights nothing seems to happen for a while, then the
error falls in stairs. The rate is constant on purpose.
"""
import numpy as np
import torch
from torch import nn

from data import table


class SmallStart(nn.Module):
    def __init__(self, n_in, n_out, width=40, scale=0.02):
        super().__init__()
        self.stack = nn.ModuleList([nn.Linear(n_in, width), nn.Linear(width, width), nn.Linear(width, n_out)])
        for layer in self.stack:
            nn.init.orthogonal_(layer.weight, gain=scale)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        first, second, last = self.stack
        return last(torch.tanh(second(torch.tanh(first(x)))))


def build(seed=0):
    torch.manual_seed(seed)
    df = table("meats").sample(frac=1.0, random_state=seed)
    spectrum = df.filter(like="x_").to_numpy(np.float32)
    slope = np.diff(spectrum, axis=1)[:, ::3]
    y = df[["water", "fat", "protein"]].to_numpy(np.float32)
    n = 165
    slope = (slope - slope[:n].mean(0)) / slope[:n].std(0)
    y = (y - y[:n].mean(0)) / y[:n].std(0)
    x, y = torch.from_numpy(slope), torch.from_numpy(y)
    net = SmallStart(x.shape[1], 3)
    return dict(
        network=net,
        loss=nn.MSELoss(),
        train=(x[:n], y[:n]),
        valid=(x[n:], y[n:]),
        optimizer=torch.optim.SGD(net.parameters(), lr=0.02),
        batch_size=15,
        epochs=200,
    )
