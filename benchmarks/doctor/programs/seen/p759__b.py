"""A picture read line by line by a hand-made recurrent cell (exercise 3), five kinds of clothes."""
import numpy as np
import torch
from torch import nn
from data import fashion

KEEP = [0, 1, 5, 7, 8]


class Cell(nn.Module):
    def __init__(self, d_in, d_state):
        super().__init__()
        self.update = nn.Linear(d_in + d_state, d_state)
        self.candidate = nn.Linear(d_in + d_state, d_state)
        nn.init.constant_(self.update.bias, -1.5)

    def forward(self, x, h):
        both = torch.cat([x, h], dim=-1)
        u = torch.sigmoid(self.update(both))
        return (1 - u) * h + u * torch.tanh(self.candidate(both))


class LineReader(nn.Module):
    def __init__(self, d_state=48, n_classes=len(KEEP)):
        super().__init__()
        self.d_state = d_state
        self.cell = Cell(28, d_state)
        self.readout = nn.Linear(d_state, n_classes)

    def forward(self, x):
        h = x.new_zeros(len(x), self.d_state)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.readout(h)


def subset(x, y):
    rows = np.isin(y, KEEP)
    lookup = {c: i for i, c in enumerate(KEEP)}
    return torch.tensor(x[rows]).float() / 128 - 0.6, torch.tensor([lookup[c] for c in y[rows].tolist()])


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2600, 1400)
    network = LineReader()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    return {"network": network, "loss": nn.CrossEntropyLoss(), "train": subset(x, y), "valid": subset(xv, yv),
            "optimizer": optimizer, "batch_size": 40, "epochs": 5}
