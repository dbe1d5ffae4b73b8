"""LANDSAT: what grows on a piece of ground (4 bands x 9 pixels)?"""
import torch
from torch import nn

from data import table

NAMES = ["red soil", "cotton crop", "grey soil", "damp grey soil", "vegetation stubble", "very damp grey soil"]


def load():
    frame = table("Satellite")
    y = torch.tensor([NAMES.index(c) for c in frame["classes"]])
    x = torch.tensor(frame.drop(columns="classes").values, dtype=torch.float32)
    return x, y


def mlp(*sizes):
    layers = []
    for a, b in zip(sizes[:-2], sizes[1:-1]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*layers)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load()
    split = 4435  # the official one
    x_train, x_test = x[:split], x[split:]
    net = mlp(36, 48, 24, 6)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (x_train, y[:split]),
        "valid": (x_test, y[split:]),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9),
        "batch_size": 64,
        "epochs": 15,
    }
