"""Digits (8x8) with batch normalization everywhere. Normalized layers do not mind large steps, so steps are large."""
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def block(n_in, n_out):
    return [nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ReLU()]


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    X_train, X_valid, y_train, y_valid = train_test_split(X / 16, y, test_size=0.3, random_state=0, stratify=y)
    net = nn.Sequential(*block(64, 100), *block(100, 100), *block(100, 100), nn.Linear(100, 10), nn.BatchNorm1d(10))
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train)),
        "valid": (torch.tensor(X_valid, dtype=torch.float32), torch.tensor(y_valid)),
        "optimizer": torch.optim.SGD(net.parameters(), lr=3.0),
        "batch_size": 64,
        "epochs": 30,
    }
