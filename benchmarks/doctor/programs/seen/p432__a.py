"""Entries at Quincy/Wells, forecast online: each day is seen in its turn, as an adaptive filter (LMS) would."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import series

LAGS = (1, 2, 7, 14, 21, 28)


class AdaptiveFilter(nn.Module):
    def __init__(self, lags):
        super().__init__()
        self.taps = nn.Linear(lags, 1)
        nn.init.constant_(self.taps.weight, 1.0 / lags)
        nn.init.zeros_(self.taps.bias)

    def forward(self, x):
        return self.taps(x).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    demand = series("chicago_ridership_daily")["Quincy_Wells"].to_numpy(np.float32)[-2600:]
    z = (demand - demand[:2000].mean()) / demand[:2000].std()
    longest = max(LAGS)
    x = torch.tensor(np.stack([z[longest - k : len(z) - k] for k in LAGS], 1))
    y = torch.tensor(z[longest:])
    n = 2000
    net = AdaptiveFilter(len(LAGS))
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": DataLoader(TensorDataset(x[:n], y[:n]), batch_size=1, shuffle=False),
        "valid": DataLoader(TensorDataset(x[n:], y[n:]), batch_size=64),
        "optimizer": torch.optim.SGD(net.parameters(), lr=2e-3),
        "batch_size": 1,
        "epochs": 6,
    }
