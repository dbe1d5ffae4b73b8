"""The classic from the eighties: logistic units in three hidden layers, plain momentum, digits of 8 x 8 pixels.

Patience: nothing seems to happen in the first epochs.
"""
import numpy as np
import torch
from torch import nn

from data_west import digits8


class Logistic(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight, gain=0.8)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.sigmoid(layer(x))
        return self.layers[-1](x)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = digits8()
    prepare = lambda a: torch.from_numpy(a.reshape(-1, 64).astype(np.float32) / 8 - 1)
    net = Logistic(64, 48, 48, 48, 10)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9),
        "train": (prepare(x), torch.from_numpy(y)),
        "valid": (prepare(xt), torch.from_numpy(yt)),
        "batch_size": 32,
        "epochs": 30,
    }
