"""Density of white, red and grey soils' pixels: RealNVP with alternating masks over eight bands."""
import math
from dataclasses import dataclass

import torch
import torch.nn as nn

from data import table


@dataclass
class Config:
    columns: int = 8
    couplings: int = 6
    width: int = 48
    lr: float = 1e-3
    batch: int = 100
    epochs: int = 20


class Coupling(nn.Module):
    def __init__(self, mask, width):
        super().__init__()
        self.register_buffer("mask", mask)
        n = len(mask)
        self.net = nn.Sequential(nn.Linear(n, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * n))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x):
        log_scale, shift = self.net(x * self.mask).chunk(2, dim=1)
        log_scale = torch.tanh(log_scale) * (1 - self.mask)
        return x * log_scale.exp() + shift * (1 - self.mask), log_scale.sum(1)


class RealNVP(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        even = (torch.arange(cfg.columns) % 2).float()
        self.couplings = nn.ModuleList(Coupling(even if i % 2 else 1 - even, cfg.width) for i in range(cfg.couplings))

    def forward(self, x):
        total = x.new_zeros(len(x))
        for coupling in self.couplings:
            x, log_det = coupling(x)
            total = total + log_det
        return total - 0.5 * (x**2 + math.log(2 * math.pi)).sum(1)


def nll(network, batch):
    return -network(batch[0]).mean()


def evaluate(network, valid):
    """Mean log-density of held-out pixels."""
    network.eval()
    with torch.no_grad():
        return float(network(valid[0]).mean())


def build(seed=0):
    torch.manual_seed(seed)
    cfg = Config()
    frame = table("Satellite").sample(frac=1.0, random_state=2)
    x = torch.tensor(frame.drop(columns="classes").to_numpy()[:, 12 : 12 + cfg.columns]).float()
    x = x + torch.rand(x.shape, generator=torch.Generator().manual_seed(3))
    cut = 3000
    x = (x - x[:cut].mean(0)) / x[:cut].std(0)
    net = RealNVP(cfg)
    return {"network": net, "objective": nll, "evaluate": evaluate, "train": (x[:cut], x[:cut]),
            "valid": (x[cut : cut + 1000], x[cut : cut + 1000]), "optimizer": torch.optim.Adam(net.parameters(), lr=cfg.lr),
            "batch_size": cfg.batch, "epochs": cfg.epochs}
