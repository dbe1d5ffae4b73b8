"""Linear probing: what a network learned from the digits 0-4, is it of use for 5-9?

1. train an MLP on 0-4;  2. freeze it;  3. new last layer, trained on 500 examples of 5-9.
"""
import numpy as np
import torch
from torch import nn

from data_west import digits8


def subset(x, y, low, high):
    keep = (y >= low) & (y <= high)
    return torch.from_numpy(x[keep].reshape(-1, 64).astype(np.float32) / 16), torch.from_numpy(y[keep] - low)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU())
        self.classifier = nn.Linear(128, 5)

    def forward(self, x):
        return self.classifier(self.features(x))


def fit(net, x, y, epochs):
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        for i in torch.randperm(len(x)).split(32):
            loss = nn.functional.cross_entropy(net(x[i]), y[i])
            opt.zero_grad()
            loss.backward()
            opt.step()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = digits8()
    net = Net()
    fit(net, *subset(x, y, 0, 4), epochs=2)

    for p in net.features.parameters():
        p.requires_grad = False
    net.classifier = nn.Linear(128, 5)
    optimizer = torch.optim.Adam((p for p in net.parameters() if p.requires_grad), lr=2e-2)

    x_new, y_new = subset(x, y, 5, 9)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "train": (x_new[:500], y_new[:500]),
        "valid": subset(xt, yt, 5, 9),
        "batch_size": 20,
        "epochs": 30,
    }
