"""Next year's measles reports of a state from the twelve years before it (Project Tycho), 1-D convolution."""
import numpy as np
import torch
import torch.nn as nn

from data import series

YEARS = 12


def yearly(disease="Measles"):
    df = series("us_contagious_diseases")
    df = df[(df["disease"] == disease) & df["population"].notna() & (df["year"] < 1964)]
    return df.pivot_table(index="state", columns="year", values="count", aggfunc="sum").dropna()


def windows(grid):
    past, future, year = [], [], []
    for row in range(grid.shape[0]):
        for t in range(YEARS, grid.shape[1]):
            past.append(grid[row, t - YEARS:t])
            future.append(grid[row, t])
            year.append(t)
    return np.array(past, dtype=np.float32), np.array(future, dtype=np.float32), np.array(year)


class Forecast(nn.Module):
    def __init__(self, channels=24):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(),
        )
        self.fc = nn.Linear(channels * YEARS, 1)

    def forward(self, x):
        return self.fc(self.conv(x.unsqueeze(1)).flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    past, future, t = windows(yearly().to_numpy())
    train = t < t.max() - 5
    history_mean, history_std = past[train].mean(), past[train].std()
    x = (past - history_mean) / history_std
    y = (future - history_mean) / history_std
    x, y = torch.from_numpy(x), torch.from_numpy(y).unsqueeze(1)
    train = torch.from_numpy(train)
    model = Forecast()
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "train": (x[train], y[train]),
        "valid": (x[~train], y[~train]),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.02),
        "batch_size": 32,
        "epochs": 25,
    }
