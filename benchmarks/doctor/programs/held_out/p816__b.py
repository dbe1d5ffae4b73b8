"""Who is speaking? Nine men say /ae/: 12 cepstral coefficients over time, one small recurrent branch for
each group of four coefficients, branches joined at the end."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import vowels

GROUPS = {"low": slice(0, 4), "middle": slice(4, 8), "high": slice(8, 12)}


class Branches(nn.Module):
    def __init__(self, hidden=12, speakers=9):
        super().__init__()
        self.branches = {}
        for name in GROUPS:
            self.branches[name] = nn.RNN(4, hidden, batch_first=True)
        self.join = nn.Linear(hidden * len(GROUPS), speakers)

    def forward(self, x):
        found = []
        for name, columns in GROUPS.items():
            _, last = self.branches[name](x[:, :, columns])
            found.append(last[-1])
        return self.join(torch.cat(found, dim=1))


def resample(x, lengths, steps=12):
    """Every utterance on the same number of frames, by linear interpolation."""
    out = np.empty((len(x), steps, x.shape[1]), dtype=np.float32)
    for row, series, n in zip(out, x, lengths, strict=True):
        at = np.linspace(0, n - 1, steps)
        for k in range(series.shape[0]):
            row[:, k] = np.interp(at, np.arange(n), series[k, :n])
    return out


def build(seed=0):
    torch.manual_seed(seed)
    x, y, n, xv, yv, nv = vowels()
    x, xv = resample(x, n), resample(xv, nv)
    mean, std = x.mean((0, 1)), x.std((0, 1))
    train, valid = (
        TensorDataset(torch.from_numpy((a - mean) / std), torch.from_numpy(b)) for a, b in ((x, y), (xv, yv))
    )
    network = Branches()
    return {
        "network": network,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.RMSprop(network.parameters(), lr=2e-3),
        "train": DataLoader(train, batch_size=15, shuffle=True),
        "valid": DataLoader(valid, batch_size=74),
        "batch_size": 15,
        "epochs": 20,
    }
