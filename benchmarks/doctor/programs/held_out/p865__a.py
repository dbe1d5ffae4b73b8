"""
How many people get on at Clark/Lake on a day with this weather?

A single Gaussian is a poor answer (offices are open or they are not, and the weather does not say which), so the
network gives a whole distribution: a mixture density network after Bishop (1994), four components.
"""
import math
import numpy as np
import torch
import torch.nn as nn
from data import series

WEATHER = ["temp_min", "temp", "temp_max", "temp_change", "dew", "humidity", "pressure", "wind", "wind_max",
           "weather_rain", "weather_snow", "weather_cloud", "weather_storm"]


class MixtureDensityNetwork(nn.Module):
    def __init__(self, n_in, hidden=48, components=4):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, hidden), nn.Tanh(), nn.Dropout(0.1),
                                  nn.Linear(hidden, hidden), nn.Tanh())
        self.head = nn.Linear(hidden, 3 * components)
        # start near the standard normal, which is what the standardized counts look like
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(self.body(x))


def negative_log_likelihood(out, y):
    logit, mean, log_sigma = out.chunk(3, dim=1)
    log_sigma = log_sigma.clamp(-4, 3)
    z = (y - mean) / log_sigma.exp()
    log_normal = -0.5 * z ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(logit.log_softmax(1) + log_normal, dim=1).mean()


def build(seed=0):
    torch.manual_seed(seed)
    df = series("chicago_ridership_daily")
    day = df["date"].to_numpy(float)
    season = 2 * np.pi * day / 365.25
    x = np.column_stack([df[WEATHER].to_numpy(float), np.sin(season), np.cos(season), day])
    y = df["Clark_Lake"].to_numpy(float)[:, None]

    order = np.random.RandomState(7).permutation(len(x))
    tr, va = order[:4400], order[4400:]
    x = ((x - x[tr].mean(0)) / x[tr].std(0)).clip(-5, 5)
    y = (y - y[tr].mean()) / y[tr].std()
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)

    mdn = MixtureDensityNetwork(x.shape[1])
    return {
        "network": mdn,
        "loss": negative_log_likelihood,
        "train": (x[tr], y[tr]),
        "valid": (x[va], y[va]),
        "optimizer": torch.optim.Adam(mdn.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 25,
    }
