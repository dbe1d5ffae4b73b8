"""Riders at Belmont one day ahead: hand-made features (lags, smoothing, weather, games)."""
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import series

WEATHER = ["temp", "wind", "percip", "weather_rain", "weather_snow"]
GAMES = ["Cubs_Home", "Bulls_Home", "Bears_Home"]


def feature_frame():
    df = series("chicago_ridership_daily").iloc[1500:4700].reset_index(drop=True)
    target = df["Belmont"]
    features = {f"lag_{k}": target.shift(k) for k in (1, 2, 7)}
    features["level"] = target.rolling(7, center=True).mean()
    for name in WEATHER:
        features[name] = df[name].shift(1)
    for name in GAMES:
        features[name] = df[name]  # the calendar of games is known ahead
    frame = pd.DataFrame(features)
    frame["target"] = target
    return frame.dropna()


class Regressor(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.hidden = nn.Linear(n_in, 32)
        self.out = nn.Linear(32, 1)

    def forward(self, x):
        return self.out(nn.functional.gelu(self.hidden(x)))


def build(seed=0):
    torch.manual_seed(seed)
    frame = feature_frame()
    y = frame.pop("target").to_numpy(np.float32)[:, None]
    x = frame.to_numpy(np.float32)
    cut = 2500
    x = (x - x[:cut].mean(0)) / (x[:cut].std(0) + 1e-6)
    y = (y - y[:cut].mean()) / y[:cut].std()
    train, test = (TensorDataset(torch.from_numpy(x[s]), torch.from_numpy(y[s])) for s in (slice(0, cut), slice(cut, None)))
    model = Regressor(x.shape[1])
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
        "train": DataLoader(train, batch_size=50, shuffle=True),
        "valid": DataLoader(test, batch_size=100),
        "batch_size": 50,
        "epochs": 20,
    }
