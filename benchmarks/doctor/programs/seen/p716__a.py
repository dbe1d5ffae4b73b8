"""Homework 2, part b: how deep can we go? Handwritten digits of 8 x 8 pixels, six hidden layers."""
import numpy as np
import torch
from torch import nn

from data_cedar import small_digits

DEPTH = 6
WIDTH = 64
ACTIVATION = nn.Sigmoid


def make_mlp(n_in, n_out):
    layers = []
    for i in range(DEPTH):
        layers += [nn.Linear(n_in if i == 0 else WIDTH, WIDTH), ACTIVATION()]
    layers.append(nn.Linear(WIDTH, n_out))
    return nn.Sequential(*layers)


def as_rows(pictures):
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    return torch.from_numpy(flat / 8.0 - 1.0)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, x_test, y_test = small_digits()
    net = make_mlp(64, 10)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9),
        "train": (as_rows(x), torch.from_numpy(y)),
        "valid": (as_rows(x_test), torch.from_numpy(y_test)),
        "batch_size": 32,
        "epochs": 10,
    }
