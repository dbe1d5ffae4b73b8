"""Stochastic depth (Huang et al., 2016): a residual network whose blocks are skipped at random in training."""
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from data import fashion


@dataclass(frozen=True)
class Settings:
    width: int = 16
    blocks: int = 3
    last_survival: float = 0.7
    lr: float = 0.01
    batch_size: int = 32
    epochs: int = 6


class Residual(nn.Module):
    def __init__(self, width: int, survival: float):
        super().__init__()
        self.survival = survival
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return torch.relu(x + self.survival * self.branch(x))
        if torch.rand(()) < self.survival:
            return torch.relu(x + self.branch(x))
        return x


class Net(nn.Module):
    def __init__(self, s: Settings, classes: int = 10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, s.width, 4, stride=4), nn.BatchNorm2d(s.width), nn.ReLU())
        rates = torch.linspace(1.0, s.last_survival, s.blocks).tolist()
        self.blocks = nn.Sequential(*(Residual(s.width, p) for p in rates))
        self.head = nn.Linear(s.width * 49, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    s = Settings()
    x, y, xv, yv = (torch.from_numpy(a) for a in fashion(2500, 800))
    x, xv = ((a.unsqueeze(1).float() / 255 - 0.286) / 0.353 for a in (x, xv))
    net = Net(s)
    optimizer = torch.optim.SGD(net.parameters(), lr=s.lr, momentum=0.9, weight_decay=1e-4)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, y), "valid": (xv, yv), "optimizer": optimizer,
            "batch_size": s.batch_size, "epochs": s.epochs}
