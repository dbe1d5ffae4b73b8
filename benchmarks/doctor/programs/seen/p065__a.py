"""Which segments of a seven-segment display a handwritten digit would light."""
import torch
from torch import nn
from data import mnist

SEGMENTS = torch.tensor([
    [1, 1, 1, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1, 0], [1, 0, 1, 1, 1, 0, 1], [1, 0, 1, 1, 0, 1, 1],
    [0, 1, 1, 1, 0, 1, 0], [1, 1, 0, 1, 0, 1, 1], [1, 1, 0, 1, 1, 1, 1], [1, 0, 1, 0, 0, 1, 0],
    [1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1, 1],
]).float()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2500, 1000)
    x, xv = (torch.tensor(a).float().flatten(1) / 255 for a in (x, xv))
    net = nn.Sequential(
        nn.Linear(784, 64), nn.ReLU(),
        nn.Linear(64, 7),
        nn.Softmax(dim=1),
    )
    return {
        "network": net,
        "loss": nn.BCELoss(),
        "train": (x, SEGMENTS[torch.tensor(y)]),
        "valid": (xv, SEGMENTS[torch.tensor(yv)]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 50,
        "epochs": 5,
    }
