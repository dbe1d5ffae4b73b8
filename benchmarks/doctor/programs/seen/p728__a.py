"""Random Fourier features (Rahimi and Recht) with a linear layer on top: a kernel regression of Boston's house values."""
import math

import numpy as np
import torch
from torch import nn

from data import table

COLUMNS = ["crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat"]


class FourierRegression(nn.Module):
    def __init__(self, n_in, n_features=400, width=6.0, seed=0):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.register_buffer("frequency", torch.randn(n_in, n_features, generator=g) / width)
        self.register_buffer("phase", 2 * math.pi * torch.rand(n_features, generator=g))
        self.linear = nn.Linear(n_features, 1)

    def forward(self, x):
        with torch.no_grad():
            features = math.sqrt(2.0) * torch.cos(x @ self.frequency + self.phase)
        return self.linear(features)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("BostonHousing2").sample(frac=1.0, random_state=seed)
    x = df[COLUMNS].to_numpy(np.float32)
    x[:, 0] = np.log(x[:, 0])
    y = np.log(df["cmedv"].to_numpy(np.float32))[:, None]
    n = 400
    x = torch.from_numpy((x - x[:n].mean(0)) / x[:n].std(0))
    y = torch.from_numpy((y - y[:n].mean()) / y[:n].std())
    net = FourierRegression(len(COLUMNS), seed=seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=2e-3, momentum=0.9, weight_decay=1e-3)
    return {"network": net, "loss": nn.MSELoss(), "optimizer": optimizer, "train": (x[:n], y[:n]),
            "valid": (x[n:], y[n:]), "batch_size": 20, "epochs": 80}
