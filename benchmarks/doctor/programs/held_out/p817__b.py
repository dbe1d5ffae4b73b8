"""Riders tomorrow: LSTM on the last 28 days of one station of Chicago's L."""
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from data import series

LOOKBACK = 28


class Windows(Dataset):
    """(28 days, 1) -> the day after."""

    def __init__(self, values):
        self.values = torch.tensor(values, dtype=torch.float32)

    def __len__(self):
        return len(self.values) - LOOKBACK

    def __getitem__(self, i):
        window = self.values[i : i + LOOKBACK]
        return window.unsqueeze(-1), self.values[i + LOOKBACK]


class Forecaster(torch.nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = torch.nn.LSTM(1, hidden, batch_first=True)
        self.linear = torch.nn.Linear(hidden, 1)

    def forward(self, window):
        out, _ = self.lstm(window)
        return self.linear(out[:, -1])


def mse(prediction, target):
    return ((prediction - target) ** 2).mean()


def build(seed=0):
    torch.manual_seed(seed)
    riders = series("chicago_ridership_daily")["Clark_Lake"].to_numpy()[-1500:]
    past, future = riders[:1200], riders[1200 - LOOKBACK :]
    mean, std = past.mean(), past.std()
    net = Forecaster()
    return {
        "network": net,
        "loss": mse,
        "train": DataLoader(Windows((past - mean) / std), batch_size=32, shuffle=True),
        "valid": DataLoader(Windows((future - mean) / std), batch_size=100),
        "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3),
        "batch_size": 32,
        "epochs": 14,
    }
