"""Four kinds of emoji: strided convolutions, exponential decay of the learning rate."""
import numpy as np
import torch
from torch import nn

from data import emoji

KINDS = (2, 4, 7, 8)


class Trainer:
    def __init__(self, network, lr, gamma, batches_per_epoch):
        self.optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, nesterov=True)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma)
        self.per_epoch = batches_per_epoch
        self.seen = 0

    def step(self, network, batch, optimizer, loss):
        x, y = batch
        optimizer.zero_grad()
        value = loss(network(x), y)
        value.backward()
        optimizer.step()
        self.seen += 1
        self.scheduler.step()
        return value.item()


def pictures():
    x, kind, name = emoji()
    keep = np.isin(kind, KINDS)
    x, kind, name = x[keep], kind[keep], name[keep]
    fold = np.array([sum(map(ord, n)) % 5 for n in name])  # an emoji's vendors stay together
    x = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 127.5 - 1
    y = torch.tensor([KINDS.index(int(k)) for k in kind])
    return x[fold > 0], y[fold > 0], x[fold == 0], y[fold == 0]


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = pictures()
    network = nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.BatchNorm2d(48), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(192, len(KINDS)),
    )
    trainer = Trainer(network, lr=0.01, gamma=0.8, batches_per_epoch=len(x) // 32)
    return {
        "network": network,
        "loss": nn.CrossEntropyLoss(),
        "step": trainer.step,
        "train": (x, y),
        "valid": (xv, yv),
        "optimizer": trainer.optimizer,
        "batch_size": 32,
        "epochs": 10,
    }
