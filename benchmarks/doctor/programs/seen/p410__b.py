"""Digits read row by row from top to bottom.

A recurrent cell written out, so that its state can be looked at.
"""
import torch
from torch import nn

from data import mnist


class Cell(nn.Module):
    def __init__(self, n_in, n_hidden):
        super().__init__()
        self.update = nn.Linear(n_in + n_hidden, n_hidden)
        self.candidate = nn.Linear(n_in + n_hidden, n_hidden)

    def forward(self, x, h):
        both = torch.cat([x, h], 1)
        z = torch.sigmoid(self.update(both))
        return (1 - z) * h + z * torch.tanh(self.candidate(both))


class RowReader(nn.Module):
    def __init__(self, n_hidden=48):
        super().__init__()
        self.cell = Cell(28, n_hidden)
        self.n_hidden = n_hidden
        self.out = nn.Linear(n_hidden, 10)

    def forward(self, x):
        h = x.new_zeros(len(x), self.n_hidden)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.out(h)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = (torch.from_numpy(a) for a in mnist(3000, 1000))
    net = RowReader()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (x.float() / 255, y),
        "valid": (xv.float() / 255, yv),
        "optimizer": torch.optim.Adam(net.parameters(), lr=0.005),
        "batch_size": 50,
        "epochs": 6,
    }
