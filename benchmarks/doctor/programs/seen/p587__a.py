"""Three quantiles of tomorrow's ridership at O'Hare's line (Jefferson Park): pinball loss.

The network gives 10 %, 50 % and 90 %; the target (B, 1) is compared with all three of them.
"""
import numpy as np
import torch
from torch import nn

from data import series

TAUS = torch.tensor([0.1, 0.5, 0.9])


def pinball(quantiles, y):
    diff = y - quantiles
    return torch.maximum(TAUS * diff, (TAUS - 1) * diff).mean()


class QuantileNet(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.median = nn.Linear(64, 1)
        self.spread = nn.Sequential(nn.Linear(64, 2), nn.Softplus())

    def forward(self, x):
        h = self.body(x)
        m, s = self.median(h), self.spread(h)
        return torch.cat([m - s[:, :1], m, m + s[:, 1:]], dim=1)


def build(seed=0):
    torch.manual_seed(seed)
    df = series("chicago_ridership_daily")
    y = df["Jefferson_Park"].to_numpy()
    weekday = np.eye(7)[df["date"].to_numpy().astype(int) % 7]
    weather = df[["temp", "wind", "percip"]].to_numpy()
    cut = 4500
    weather = (weather - weather[:cut].mean(0)) / weather[:cut].std(0)
    y = (y - y[:cut].mean()) / y[:cut].std()
    rows = range(14, len(y))
    x = np.stack([np.r_[y[t - 14 : t], weekday[t], weather[t - 1]] for t in rows])
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y[14:], dtype=torch.float32).unsqueeze(1)
    net = QuantileNet(x.shape[1])
    return {
        "network": net,
        "loss": pinball,
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "batch_size": 64,
        "epochs": 12,
    }
