"""Plain deep CNN for Fashion-MNIST, weights drawn by He's rule, no batch norm."""
import math

import torch
from torch import nn

from data import fashion


def conv3x3(cin, cout, stride=1):
    conv = nn.Conv2d(cin, cout, kernel_size=3, stride=stride, padding=1)
    fan_in = cin * 3 * 3
    nn.init.normal_(conv.weight, mean=0.0, std=2.0 / fan_in)
    nn.init.zeros_(conv.bias)
    return conv


class PlainNet(nn.Module):
    def __init__(self, width=12, n_classes=10):
        super().__init__()
        w = width
        self.features = nn.Sequential(
            conv3x3(1, w, stride=2), nn.ReLU(),
            conv3x3(w, w), nn.ReLU(),
            conv3x3(w, 2 * w, stride=2), nn.ReLU(),
            conv3x3(2 * w, 2 * w), nn.ReLU(),
            conv3x3(2 * w, 2 * w, stride=2), nn.ReLU(),
        )
        self.classifier = nn.Linear(2 * w * 16, n_classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 800)
    x = torch.from_numpy(x).unsqueeze(1).float() / 255
    xv = torch.from_numpy(xv).unsqueeze(1).float() / 255
    mean, std = x.mean(), x.std()
    net = PlainNet()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": ((x - mean) / std, torch.from_numpy(y)),
        "valid": ((xv - mean) / std, torch.from_numpy(yv)),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9),
        "batch_size": 40,
        "epochs": 6,
    }
