"""Digits from the optical recognition set, the first three quarters for training."""
import numpy as np
import torch
from torch import nn
from sklearn.datasets import load_digits


def cut(x, y, share=0.75):
    n = int(len(x) * share)
    return (x[:n], y[:n]), (x[n:], y[n:])


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    order = np.argsort(y, kind="stable")
    x = torch.tensor(x[order] / 16, dtype=torch.float32)
    y = torch.tensor(y[order])
    train, valid = cut(x, y)
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=train, valid=valid, batch_size=32, epochs=8,
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3))
