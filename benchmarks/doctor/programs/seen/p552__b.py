"""Tomorrow's ridership of the Chicago 'L' (Clark/Lake station), from the last four weeks of it.

GRU over a sliding window, the last state goes through a linear layer. Years up to 2013 train, the rest test.
"""
import numpy as np
import torch
import torch.nn as nn

from data import series

LOOKBACK = 28


def make_windows(values, calendar, lookback=LOOKBACK):
    """(samples, lookback, 1 + 7) and the value that follows each window."""
    xs, ys = [], []
    for t in range(lookback, len(values)):
        history = values[t - lookback:t]
        weekday = np.eye(7)[calendar[t - lookback:t] % 7]
        xs.append(np.column_stack([history, weekday]))
        ys.append(values[t])
    return torch.tensor(np.array(xs), dtype=torch.float32), torch.tensor(ys, dtype=torch.float32).unsqueeze(1)


class Forecaster(nn.Module):
    def __init__(self, n_features=8, hidden=24):
        super().__init__()
        self.gru = nn.GRU(n_features, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, x):
        _, h = self.gru(x)
        return self.fc(h[-1])


def build(seed=0):
    torch.manual_seed(seed)
    df = series("chicago_ridership_daily")
    raw = df["Clark_Lake"].to_numpy()
    days = df["date"].to_numpy().astype(int)
    cut = 4600
    mean, std = raw[:cut].mean(), raw[:cut].std()
    scaled = (raw - mean) / std

    x_train, y_train = make_windows(scaled[2000:cut], days[2000:cut])
    x_test, y_test = make_windows(scaled[cut:], days[cut:])

    model = Forecaster()
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=0.005),
        "train": (x_train, y_train),
        "valid": (x_test, y_test),
        "batch_size": 64,
        "epochs": 8,
    }
