"""Daily ridership at Belmont from calendar and history features. Split by time, never at random."""
import numpy as np
import pandas as pd
import torch
from torch import nn

from data import series


def features(riders: pd.Series) -> pd.DataFrame:
    out = pd.DataFrame(index=riders.index)
    for lag in (1, 2, 7, 14):
        out[f"lag_{lag}"] = riders.shift(lag)
    before = riders.shift(1)
    for days in (3, 7, 28):
        out[f"mean_{days}"] = before.rolling(days).mean()
    out["spread_7"] = before.rolling(7).std()
    weekday = np.arange(len(riders)) % 7
    for day in range(7):
        out[f"weekday_{day}"] = (weekday == day).astype(float)
    return out


class ResidualMLP(nn.Module):
    """A linear forecast and a correction."""

    def __init__(self, n: int, hidden: int = 32):
        super().__init__()
        self.linear = nn.Linear(n, 1)
        self.correction = nn.Sequential(nn.Linear(n, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, x):
        return self.linear(x) + self.correction(x)


def build(seed=0):
    torch.manual_seed(seed)
    riders = series("chicago_ridership_daily")["Belmont"][:3000]
    table = features(riders).iloc[28:]
    target = riders.loc[table.index]
    n = 2300
    x = (table - table[:n].mean()) / table[:n].std()
    y = (target - target[:n].mean()) / target[:n].std()
    x = torch.tensor(x.to_numpy(), dtype=torch.float32)
    y = torch.tensor(y.to_numpy(), dtype=torch.float32).unsqueeze(1)
    net = ResidualMLP(x.shape[1])
    return {
        "network": net,
        "loss": nn.HuberLoss(),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
        "batch_size": 32,
        "epochs": 20,
    }
