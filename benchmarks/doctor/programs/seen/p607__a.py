"""Seminar: networks with binary activations (0/1 units), small handwritten digits."""
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn


class BinaryUnit(nn.Module):
    """1 where the input is positive, 0 elsewhere."""

    def forward(self, x):
        hard = (x > 0).float()
        return hard


class BinaryNet(nn.Module):
    def __init__(self, widths=(64, 32, 24), n_classes=10):
        super().__init__()
        self.linears = nn.ModuleList([nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:])])
        self.norms = nn.ModuleList([nn.BatchNorm1d(b) for b in widths[1:]])
        self.unit = BinaryUnit()
        self.readout = nn.Linear(widths[-1], n_classes)

    def forward(self, x):
        for linear, norm in zip(self.linears, self.norms):
            x = self.unit(norm(linear(x)))
        return self.readout(x)


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    order = np.random.RandomState(42).permutation(len(digits.target))
    X = torch.tensor(digits.data[order] / 16.0 - 0.5, dtype=torch.float32)
    Y = torch.tensor(digits.target[order])
    train, test = slice(0, 1300), slice(1300, None)
    net = BinaryNet()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (X[train], Y[train]),
        "valid": (X[test], Y[test]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=0.01),
        "batch_size": 50,
        "epochs": 30,
    }
