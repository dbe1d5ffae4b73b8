"""Weekday-aware load forecast for one station of the Chicago 'L', GRU with a residual around last week's value."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from data import series


class RidershipWindows(Dataset):
    def __init__(self, values, dates, window=21):
        self.values = torch.as_tensor(values, dtype=torch.float32)
        self.weekday = F.one_hot(torch.as_tensor(dates).long() % 7, 7).float()
        self.window = window

    def __len__(self):
        return len(self.values) - self.window

    def __getitem__(self, i):
        past = slice(i, i + self.window)
        ahead = slice(i + 1, i + self.window + 1)  # the weekday of the day to come is known
        x = torch.cat([self.values[past].unsqueeze(1), self.weekday[ahead]], dim=1)
        return x, self.values[i + self.window].unsqueeze(0)


class LoadGRU(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.gru = nn.GRU(8, width, batch_first=True)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        states, _ = self.gru(x)
        return x[:, -7, :1] + self.out(states[:, -1])


def train_step(network, batch, optimizer, criterion):
    x, y = batch
    network.zero_grad()
    forecast = network(x)
    loss = criterion(forecast, y)
    loss.backward()
    optimizer.step()
    return loss.item()


def build(seed=0):
    torch.manual_seed(seed)
    df = series("chicago_ridership_daily").iloc[2500:]
    y = df["Monroe"].to_numpy()
    dates = df["date"].to_numpy().astype(np.int64)
    n_train = 2500
    y = (y - y[:n_train].mean()) / y[:n_train].std()
    train = RidershipWindows(y[:n_train], dates[:n_train])
    test = RidershipWindows(y[n_train:], dates[n_train:])
    model = LoadGRU()
    return {
        "network": model,
        "loss": nn.SmoothL1Loss(),
        "step": train_step,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "train": DataLoader(train, batch_size=50, shuffle=True),
        "valid": DataLoader(test, batch_size=200),
        "batch_size": 50,
        "epochs": 8,
    }
