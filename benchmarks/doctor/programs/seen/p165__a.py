"""CIFAR, residual blocks without normalization; each branch is switched on by a scalar that starts at zero."""
import torch
from torch import nn
from data import cifar


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.relu(x + self.alpha * self.conv2(torch.relu(self.conv1(x))))


class ReZero(nn.Module):
    def __init__(self, c=16, depth=3, classes=4):
        super().__init__()
        self.stem = nn.Conv2d(3, c, 5, stride=3)
        self.blocks = nn.Sequential(*[Block(c) for _ in range(depth)])
        self.fc = nn.Linear(c * 4, classes)

    def forward(self, x):
        h = self.blocks(torch.relu(self.stem(x)))
        return self.fc(nn.functional.adaptive_avg_pool2d(h, 2).flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(1800, 600, classes=(0, 1, 6, 8))
    x, xv = ((torch.tensor(a).permute(0, 3, 1, 2).float() - 122) / 62 for a in (x, xv))
    net = ReZero()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, torch.tensor(y)), "valid": (xv, torch.tensor(yv)),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 32, "epochs": 6}
