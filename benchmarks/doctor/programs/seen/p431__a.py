"""A range for the price of a house: 10, 50 and 90 % quantiles by the pinball loss."""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from data import table

LEVELS = torch.tensor([0.1, 0.5, 0.9])


class QuantileNet(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(n, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU())
        self.middle = nn.Linear(24, 1)
        self.spread = nn.Linear(24, 2)

    def forward(self, x):
        h = self.hidden(x)
        m = self.middle(h)
        down, up = F.softplus(self.spread(h)).chunk(2, dim=1)
        return torch.cat([m - down, m, m + up], dim=1)


def pinball(quantiles, y):
    over = y[:, None] - quantiles
    return torch.maximum(LEVELS * over, (LEVELS - 1) * over).sum(1).mean()


def build(seed=0):
    torch.manual_seed(seed)
    houses = table("ames").sample(frac=1.0, random_state=17)
    y = np.log(houses.pop("Sale_Price").to_numpy())
    x = houses.select_dtypes("number").fillna(0).to_numpy(np.float32)
    n = 2200
    x = ((x - x[:n].mean(0)) / (x[:n].std(0) + 1e-6)).clip(-4, 4)
    y = (y - y[:n].mean()) / y[:n].std()
    x, y = torch.tensor(x), torch.tensor(y, dtype=torch.float32)
    net = QuantileNet(x.shape[1])
    return {"network": net, "loss": pinball, "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3), "batch_size": 50, "epochs": 20}
