"""Transfer: features learnt on MNIST digits 0-4 serve for the digits 5-9, with few pictures.

The body stays as it is; a new head is put on and trained.
"""
import torch
import torch.nn.functional as F
from torch import nn

from data import mnist


class DigitNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2), nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(600, classes)

    def forward(self, x):
        return self.head(self.body(x))


def pretrain(x, y, epochs=4):
    net = DigitNet(5)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = (torch.from_numpy(a) for a in mnist(4000, 2000))
    x, xv = x.float().unsqueeze(1) / 255, xv.float().unsqueeze(1) / 255
    low = y < 5
    net = pretrain(x[low], y[low])

    for p in net.body.parameters():
        p.requires_grad = False
    optimizer = torch.optim.SGD(net.parameters(), lr=0.005, momentum=0.9)
    net.head = nn.Linear(600, 5)

    high, high_valid = ~low, yv > 4
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (x[high][:800], y[high][:800] - 5),
        "valid": (xv[high_valid], yv[high_valid] - 5),
        "optimizer": optimizer,
        "batch_size": 40,
        "epochs": 12,
    }
