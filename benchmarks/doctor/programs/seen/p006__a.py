"""Parkinson's disease from speech: few healthy people, so they are repeated to balance the classes."""
import numpy as np
import torch
from torch import nn
from data import table


def repeat_rare(x, y, rng):
    rare = np.flatnonzero(y == y.min() if (y == y.min()).sum() < (y == y.max()).sum() else y == y.max())
    extra = rng.choice(rare, size=len(y) - 2 * len(rare))
    keep = rng.permutation(np.concatenate([np.arange(len(y)), extra]))
    return x[keep], y[keep]


def build(seed=0):
    torch.manual_seed(seed)
    rng = np.random.RandomState(5)
    df = table("pd_speech").sample(frac=1, random_state=10)
    y = (df.pop("class").astype("category").cat.codes.to_numpy() > 0).astype(np.float32)
    x = df.select_dtypes("number").to_numpy(np.float32)
    x = np.nan_to_num((x - x.mean(0)) / (x.std(0) + 1e-6)).clip(-4, 4)
    cut = int(0.6 * len(x))
    xb, yb = x[cut:], y[cut:]
    xa, ya = repeat_rare(x[:cut], y[:cut], rng)
    t = lambda a: torch.tensor(a)
    net = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1), nn.Flatten(0))
    return {"network": net, "loss": nn.BCEWithLogitsLoss(), "train": (t(xa), t(ya)), "valid": (t(xb), t(yb)),
            "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3), "batch_size": 16, "epochs": 15}
