"""Digits into one of 64 slots. Slots 10 to 63 wait for characters to come."""
import torch
from torch import nn
from data import mnist

SLOTS = 64


def net():
    return nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(1, 12, 3), nn.Hardswish(), nn.MaxPool2d(2),
        nn.Conv2d(12, 20, 3), nn.Hardswish(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(80, SLOTS),
    )


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2000, 800)
    prep = lambda a: torch.tensor(a).float().unsqueeze(1).sub(33.3).div(78.6)
    model = net()
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.99)
    return dict(network=model, loss=nn.CrossEntropyLoss(), train=(prep(x), torch.tensor(y)), valid=(prep(xv), torch.tensor(yv)),
                optimizer=sgd, batch_size=20, epochs=9)
