"""Emoji: four kinds of pictures."""
import numpy as np
import torch
import torch.nn as nn
from data import emoji


def load():
    x, category, short = emoji()
    rng = np.random.RandomState(3)
    kinds = np.argsort(np.bincount(category))[-4:]
    keep = np.concatenate([rng.permutation(np.flatnonzero(category == k))[:450] for k in kinds])
    x, category, short = x[keep], category[keep], short[keep]
    y = np.unique(category, return_inverse=True)[1]
    owner = np.unique(short, return_inverse=True)[1]
    held = np.random.RandomState(0).permutation(owner.max() + 1)[owner] % 4 == 0
    take = lambda mask, n: np.random.RandomState(1).permutation(np.flatnonzero(mask))[:n]
    a, b = take(~held, 1400), take(held, 500)
    return x[a], y[a], x[b], y[b]


def to_tensor(x):
    x = torch.from_numpy(np.ascontiguousarray(x)).float() / 255
    return x.permute(0, 3, 1, 2)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = load()
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(384, 4),
    )
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (to_tensor(x), torch.tensor(y)),
            "valid": (to_tensor(xv), torch.tensor(yv)), "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3),
            "batch_size": 32, "epochs": 8}
