"""Daily riders at a Chicago station: two weeks of history in, tomorrow out (LSTM)."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from data import series


@dataclass
class Scaler:
    mean: float = 0.0
    std: float = 1.0

    def fit(self, values):
        self.mean, self.std = float(values.mean()), float(values.std())
        return self

    def transform(self, values):
        return (values - self.mean) / self.std

    def inverse_transform(self, values):
        return values * self.std + self.mean


class Forecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.linear(out[:, -1])


def windows(values, lookback=14):
    x = np.stack([values[i : i + lookback] for i in range(len(values) - lookback)])
    return torch.tensor(x).float().unsqueeze(-1), torch.tensor(values[lookback:]).float().unsqueeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    riders = series("chicago_ridership_daily")["ridership"].to_numpy()[-1500:]
    cut = 1200
    scaler = Scaler().fit(riders[:cut])
    scaled = scaler.transform(riders)
    train, valid = windows(scaled[:cut]), windows(scaled[cut - 14 :])
    net = Forecaster()

    def evaluate(network, data):
        """Minus the mean absolute error, in thousands of riders."""
        network.eval()
        x, y = data
        with torch.no_grad():
            forecast = scaler.inverse_transform(network(x))
        actual = scaler.inverse_transform(y)
        return -float((forecast - actual).abs().mean())

    return {"network": net, "loss": nn.MSELoss(), "train": train, "valid": valid, "evaluate": evaluate,
            "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3), "batch_size": 32, "epochs": 16}
