"""Land cover from Landsat pixels: 36 values of a 3 x 3 neighbourhood, plus the neighbourhood's mean and spread."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn

from data import table

BANDS = 4


def engineered(frame):
    """Mean and standard deviation of each band over the nine pixels."""
    extra = {}
    for band in range(BANDS):
        pixels = frame[[f"x.{i}" for i in range(band + 1, 37, BANDS)]]
        extra[f"mean_{band}"] = pixels.mean(axis=1)
        extra[f"std_{band}"] = pixels.std(axis=1)
    return pd.DataFrame(extra)


def load(seed):
    frame = table("Satellite").sample(frac=1.0, random_state=seed)
    labels = frame["classes"].reset_index(drop=True)
    columns = frame.drop(columns="classes")
    full = columns.join(engineered(columns)).join(labels.rename("label"))
    codes = full.pop("label").astype("category").cat.codes
    return full.to_numpy(np.float32), codes.to_numpy(np.int64)


class CoverNet(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(n_in, 64), nn.ReLU(),
            nn.Linear(64, 64), nn.ReLU(),
            nn.Linear(64, n_out),
        )

    def forward(self, x):
        return self.net(x)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load(seed)
    n = 4500
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    model = CoverNet(x.shape[1], 6)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "batch_size": 64,
        "epochs": 12,
    }
