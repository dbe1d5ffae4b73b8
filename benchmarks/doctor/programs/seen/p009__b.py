"""Digits, a loader for each half."""
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    held = np.random.default_rng(2).random(len(y)) < 0.3
    by_class = np.argsort(y[~held], kind="stable")
    X_train, y_train = X[~held][by_class], y[~held][by_class]
    as_set = lambda X, y: TensorDataset(torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y))
    train = DataLoader(as_set(X_train, y_train), batch_size=32, shuffle=True)
    valid = DataLoader(as_set(X[held], y[held]), batch_size=256)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": train, "valid": valid, "optimizer": optimizer,
            "batch_size": 32, "epochs": 8}
