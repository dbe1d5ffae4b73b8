"""MNIST with the dropout of the original paper."""
import torch
import torch.nn as nn
from data import mnist


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(3000, 1000)
    net = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 10),
    )
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (torch.tensor(x) / 255.0, torch.tensor(y)),
            "valid": (torch.tensor(xv) / 255.0, torch.tensor(yv)), "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
            "batch_size": 64, "epochs": 6}
