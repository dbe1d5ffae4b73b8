"""Forecast tomorrow's entries at Clark/Lake from the last two weeks."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import series

WINDOW = 14


class Days(Dataset):
    def __init__(self, values):
        self.values = torch.as_tensor(np.asarray(values), dtype=torch.float32)

    def __len__(self):
        return len(self.values) - WINDOW

    def __getitem__(self, i):
        past = self.values[i : i + WINDOW]
        return past.unsqueeze(-1), self.values[i + WINDOW : i + WINDOW + 1]


class Forecaster(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(input_size=1, hidden_size=hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out[:, -1])


def build(seed=0):
    torch.manual_seed(seed)
    rides = (series("chicago_ridership_daily")["ridership"] * 1000).round().to_numpy()[-2600:]
    cut = 2100
    model = Forecaster()
    shuffled = torch.Generator().manual_seed(seed)
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "train": DataLoader(Days(rides[:cut]), batch_size=32, shuffle=True, generator=shuffled),
        "valid": DataLoader(Days(rides[cut - WINDOW :]), batch_size=250),
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 32,
        "epochs": 10,
    }
