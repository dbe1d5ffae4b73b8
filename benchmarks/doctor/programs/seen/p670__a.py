"""Tomorrow's temperature in Chicago from ten days of weather. GRU, Keras-style preprocessing."""
import numpy as np
import torch
import torch.nn as nn
from sklearn.preprocessing import StandardScaler
from data import series

FEATURES = ["temp_min", "temp", "temp_max", "dew", "humidity", "pressure", "wind"]
LOOKBACK, TARGET = 10, "temp"


def make_dataset(frame, split):
    x_raw = frame[FEATURES].to_numpy()
    y_raw = frame[[TARGET]].to_numpy()
    x_all = StandardScaler().fit(x_raw[:split]).transform(x_raw)
    y_all = StandardScaler().fit(y_raw[:split]).transform(y_raw)
    X = np.array([x_all[i - LOOKBACK : i] for i in range(LOOKBACK, len(frame))])
    Y = y_all[LOOKBACK:]
    X, Y = torch.tensor(X, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32)
    k = split - LOOKBACK
    return (X[:k], Y[:k]), (X[k:], Y[k:])


class WeatherGRU(nn.Module):
    def __init__(self, n_features, units=32):
        super().__init__()
        self.gru = nn.GRU(n_features, units, batch_first=True)
        self.dense = nn.Linear(units, 1)

    def forward(self, x):
        _, h = self.gru(x)
        return self.dense(h[-1])


def build(seed=0):
    torch.manual_seed(seed)
    frame = series("chicago_ridership_daily").iloc[:1900].ffill()
    train, valid = make_dataset(frame, split=1500)
    model = WeatherGRU(len(FEATURES))
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "train": train,
        "valid": valid,
        "optimizer": torch.optim.Adam(model.parameters(), lr=0.001),
        "batch_size": 32,
        "epochs": 12,
    }
