"""Planes, ships, horses and frogs: a convnet for tiny colour pictures (port of a TensorFlow script, channels last)."""
import numpy as np
import torch
from torch import nn

from data import cifar

CLASSES = (0, 8, 7, 6)  # airplane, ship, horse, frog


def shrink(pictures):
    """Halve the pictures by averaging 2 x 2 pixels; (n, 16, 16, 3) in -1..1."""
    p = pictures.astype(np.float32).reshape(-1, 16, 2, 16, 2, 3).mean((2, 4))
    return torch.from_numpy(p / 127.5 - 1.0)


class ChannelsLast(nn.Module):
    """Lets a network of channels-first layers take TensorFlow's layout."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, batch):
        return self.inner(batch.reshape(-1, 3, 16, 16))


def convnet(classes):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(48 * 4, classes),
    )


def build(seed=0):
    torch.manual_seed(seed)
    x, y, x_test, y_test = cifar(1600, 700, classes=CLASSES)
    net = ChannelsLast(convnet(len(CLASSES)))
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2),
        "train": (shrink(x), torch.from_numpy(y)),
        "valid": (shrink(x_test), torch.from_numpy(y_test)),
        "batch_size": 32,
        "epochs": 6,
    }
