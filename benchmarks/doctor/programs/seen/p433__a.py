"""Ozone in Los Angeles, 1976, with holes in the records. The network knows what is missing."""
import numpy as np
import torch
from torch import nn

from data import table


class WithHoles(nn.Module):
    def __init__(self, n_features, hidden=24):
        super().__init__()
        self.fill = nn.Parameter(torch.zeros(n_features))
        self.net = nn.Sequential(nn.Linear(2 * n_features, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, x):
        missing = torch.isnan(x)
        x = torch.where(missing, self.fill, torch.nan_to_num(x))
        return self.net(torch.cat([x, missing.float()], dim=1)).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("Ozone").dropna(subset="V4").sample(frac=1.0, random_state=3)
    season = 2 * np.pi * frame["V1"] / 12
    x = frame[[f"V{k}" for k in range(5, 14)]].assign(s=np.sin(season), c=np.cos(season)).to_numpy(np.float32)
    y = np.log1p(frame["V4"].to_numpy(np.float32))
    n = 270
    x = (x - np.nanmean(x[:n], 0)) / np.nanstd(x[:n], 0)
    y = (y - y[:n].mean()) / y[:n].std()
    x, y = torch.tensor(x), torch.tensor(y)
    net = WithHoles(x.shape[1])
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-3),
        "batch_size": 18,
        "epochs": 60,
    }
