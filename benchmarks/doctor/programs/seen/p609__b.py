"""Photographs of animals: convolutional body and linear head with their own learning rates."""
import torch
from torch import nn

from data import cifar

ANIMALS = (2, 3, 5, 6, 7)


def conv_block(c_in, c_out):
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )


class AnimalNet(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.body = nn.Sequential(conv_block(3, 16), conv_block(16, 24), conv_block(24, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(32, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


def millions(parameters):
    return sum(p.numel() for p in parameters) / 1e6


def make_optimizer(net):
    body = list(net.body.parameters())
    head = list(net.head.parameters())
    print(f"body: {millions(body):.4f} M parameters")
    return torch.optim.AdamW([{"params": body, "lr": 5e-3}, {"params": head, "lr": 1e-2}], weight_decay=1e-3)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(2000, 800, classes=ANIMALS)
    x, xv = (torch.from_numpy(a).float().permute(0, 3, 1, 2) / 127.5 - 1 for a in (x, xv))
    x, xv = (nn.functional.avg_pool2d(a, 2) for a in (x, xv))
    net = AnimalNet(len(ANIMALS))
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (x, torch.from_numpy(y)),
        "valid": (xv, torch.from_numpy(yv)),
        "optimizer": make_optimizer(net),
        "batch_size": 64,
        "epochs": 9,
    }
