from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn, optim

from data import cifar


@dataclass
class Config:
    lr: float = 0.04
    momentum: float = 0.9
    batch_size: int = 64
    epochs: int = 6
    channels: tuple = (16, 32, 48)
    classes: int = 10


class ConvNet(nn.Module):
    """Three convolutions and a linear layer for 32x32 photographs."""

    def __init__(self, cfg):
        super().__init__()
        c1, c2, c3 = cfg.channels
        self.conv1 = nn.Conv2d(3, c1, 3, padding=1)
        self.conv2 = nn.Conv2d(c1, c2, 3, padding=1)
        self.conv3 = nn.Conv2d(c2, c3, 3, padding=1)
        self.fc = nn.Linear(c3 * 16, cfg.classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.max_pool2d(F.relu(self.conv3(x)), 2)
        x = self.fc(torch.flatten(x, 1))
        return F.log_softmax(x, dim=1)


def tensors(images, labels):
    images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.25, 0.24, 0.26])
    return (images - mean[:, None, None]) / std[:, None, None], torch.from_numpy(labels)


def build(seed=0):
    torch.manual_seed(seed)
    cfg = Config()
    x, y, xv, yv = cifar(2000, 800)
    net = ConvNet(cfg)
    return {
        "network": net,
        "loss": F.nll_loss,
        "train": tensors(x, y),
        "valid": tensors(xv, yv),
        "optimizer": optim.SGD(net.parameters(), lr=cfg.lr, momentum=cfg.momentum),
        "batch_size": cfg.batch_size,
        "epochs": cfg.epochs,
    }
