"""Emoji categories, all nine, though most emoji show people."""
import numpy as np
import torch
from data import emoji
from torch import nn


class Emoji(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(3, 16, 3, 2, 1), nn.GroupNorm(4, 16)
        self.c2, self.n2 = nn.Conv2d(16, 32, 3, 2, 1), nn.GroupNorm(4, 32)
        self.c3, self.n3 = nn.Conv2d(32, 48, 3, 2, 1), nn.GroupNorm(4, 48)
        self.out = nn.Linear(48 * 16, 9)

    def forward(self, x):
        x = self.n1(self.c1(x)).relu()
        x = self.n2(self.c2(x)).relu()
        x = self.n3(self.c3(x)).relu()
        return self.out(x.flatten(1))


def mean_recall(network, valid):
    network.eval()
    x, y = valid
    with torch.no_grad():
        said = network(x).argmax(1)
    return float(torch.stack([(said[y == c] == c).float().mean() for c in y.unique()]).mean())


def build(seed=0):
    torch.manual_seed(seed)
    x, y, names = emoji()
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.unique(names))
    test = np.isin(names, kinds[: len(kinds) // 5])
    keep = rng.permutation(np.flatnonzero(~test))[:3000]
    x = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 - 0.5
    y = torch.from_numpy(y)
    counts = torch.bincount(y[keep], minlength=9).float()
    net = Emoji()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(weight=counts.sum() / (9 * counts)),
        "train": (x[keep], y[keep]),
        "valid": (x[test], y[test]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "evaluate": mean_recall,
        "batch_size": 50,
        "epochs": 5,
    }
