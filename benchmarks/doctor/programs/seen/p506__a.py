"""Emoji by category: little pictures, little network."""
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

from data import emoji

WANTED = [0, 2, 3, 4, 6]
AT_MOST = 520


def collect():
    pictures, category, names = emoji()
    folders = [np.flatnonzero(category == c)[:AT_MOST] for c in WANTED]
    x = np.concatenate([pictures[f] for f in folders])
    names = np.concatenate([names[f] for f in folders])
    y = np.minimum(np.arange(len(x)) // (len(x) // len(WANTED)), len(WANTED) - 1)
    return x, y, names


def conv(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, names = collect()
    rng = np.random.default_rng(11)
    unique = rng.permutation(np.unique(names))
    valid = np.isin(names, unique[: len(unique) // 4])
    x = torch.tensor(x).permute(0, 3, 1, 2) / 255.0
    y = torch.tensor(y)
    train_set = TensorDataset(x[~valid], y[~valid])
    valid_set = TensorDataset(x[valid], y[valid])
    net = nn.Sequential(conv(3, 16), conv(16, 32), conv(32, 48), nn.Flatten(), nn.Dropout(0.4), nn.Linear(48 * 16, len(WANTED)))
    loader = DataLoader(train_set, batch_size=48, shuffle=True, generator=torch.Generator().manual_seed(seed))
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": loader,
        "valid": DataLoader(valid_set, batch_size=128),
        "optimizer": torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05),
        "batch_size": 48,
        "epochs": 8,
    }
