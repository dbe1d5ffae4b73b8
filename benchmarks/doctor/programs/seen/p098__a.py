"""Forecast tomorrow's riders of the L from the last three weeks."""
import numpy as np
import torch
from torch import nn
from data import series


class Forecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.read = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.read(out[:, -1])


def windows(v, k=21):
    x = np.stack([v[i : i + k] for i in range(len(v) - k)])
    return torch.tensor(x[..., None], dtype=torch.float32), torch.tensor(v[k:, None], dtype=torch.float32)


def build(seed=0):
    torch.manual_seed(seed)
    v = series("chicago_ridership_daily")["ridership"].to_numpy()[:1500]
    v = (v - v[:1100].mean()) / v[:1100].std()
    x, y = windows(v)
    model = Forecaster()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return {"network": model, "loss": nn.MSELoss(), "train": (x[:1100], y[:1100]), "valid": (x[1100:], y[1100:]),
            "optimizer": optimizer, "batch_size": 32, "epochs": 15}
