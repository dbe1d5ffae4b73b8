"""Find the sandals: a retrieval score that ranks the few right pictures first."""
import math

import numpy as np
import torch
from data import fashion
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

TARGET = 5
POSITIVES = 90


def split(x, y, keep, rng):
    right = np.flatnonzero(y == TARGET)[:keep]
    other = np.flatnonzero(np.isin(y, [7, 9, 8, 0, 1, 2]))[: keep * 30]
    rows = rng.permutation(np.concatenate([right, other]))
    images = torch.from_numpy(x[rows]).float().unsqueeze(1) / 255
    return TensorDataset(nn.functional.avg_pool2d(images, 2), torch.from_numpy((y[rows] == TARGET).astype(np.float32)))


class Ranker(nn.Module):
    def __init__(self, prior):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ELU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ELU(), nn.MaxPool2d(2)
        )
        self.score = nn.Linear(24 * 9, 1)
        nn.init.constant_(self.score.bias, math.log(prior / (1 - prior)))

    def forward(self, x):
        return self.score(self.body(x).flatten(1)).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(6000, 3000)
    rng = np.random.default_rng(6)
    train, valid = split(x, y, POSITIVES, rng), split(xv, yv, 50, rng)
    net = Ranker(POSITIVES / len(train))
    return {
        "network": net,
        "loss": nn.BCEWithLogitsLoss(),
        "train": DataLoader(train, batch_size=64, shuffle=True),
        "valid": DataLoader(valid, batch_size=256),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 8,
    }
