"""Ames: price rises with size and quality, so the network is made monotone in seven columns (positive weights)."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import table

RISING = ["Gr_Liv_Area", "Total_Bsmt_SF", "Garage_Cars", "Full_Bath", "Year_Built", "Year_Remod_Add", "Fireplaces"]


class PositiveLinear(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.raw = nn.Parameter(torch.randn(n_out, n_in) * 0.5 - 1.5 - 0.5 * np.log(n_in))
        self.bias = nn.Parameter(torch.randn(n_out) * 0.5)

    def forward(self, x):
        return F.linear(x, F.softplus(self.raw), self.bias)


class Monotone(nn.Module):
    def __init__(self, n_in, width=32):
        super().__init__()
        self.first = PositiveLinear(n_in, width)
        self.second = PositiveLinear(width, width)
        self.last = PositiveLinear(width, 1)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        h = F.elu(self.second(h))
        return self.last(h)


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("ames").sample(frac=1, random_state=8)
    y = np.log(frame["Sale_Price"].to_numpy(np.float64))
    x = frame[RISING].to_numpy(np.float64)
    x, y = (torch.tensor((a - a[:2200].mean(0)) / a[:2200].std(0), dtype=torch.float32) for a in (x, y))
    train, valid = TensorDataset(x[:2200], y[:2200, None]), TensorDataset(x[2200:], y[2200:, None])
    model = Monotone(len(RISING))
    return {
        "network": model,
        "loss": nn.HuberLoss(delta=1.0),
        "train": DataLoader(train, batch_size=44, shuffle=True, generator=torch.Generator().manual_seed(seed)),
        "valid": DataLoader(valid, batch_size=365),
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 44,
        "epochs": 20,
    }
