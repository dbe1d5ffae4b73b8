"""Glass: few rows, so each is repeated with a little noise."""
import numpy as np
import torch
import torch.nn as nn
from data import table


def enlarge(x, y, rng, copies=5):
    big = np.concatenate([x + rng.normal(0, 0.03, x.shape) for _ in range(copies)])
    return big.astype(np.float32), np.tile(y, copies)


def split(x, y, rng, share=0.7):
    order = rng.permutation(len(x))
    n = int(share * len(x))
    return x[order[:n]], y[order[:n]], x[order[n:]], y[order[n:]]


def build(seed=0):
    torch.manual_seed(seed)
    rng = np.random.default_rng(1)
    df = table("Glass")
    y = df.pop("Type").astype("category").cat.codes.to_numpy().astype(np.int64)
    x = df.to_numpy(np.float32)
    x = (x - x.mean(0)) / x.std(0)
    x, y, xv, yv = split(x, y, rng)
    x, y = enlarge(x, y, rng)
    net = nn.Sequential(nn.Linear(9, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 6))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (torch.tensor(x), torch.tensor(y)),
            "valid": (torch.tensor(xv), torch.tensor(yv)), "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
            "batch_size": 32, "epochs": 25}
