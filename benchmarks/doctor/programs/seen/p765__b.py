"""Denoising autoencoder for the high-content cell measurements (57 columns); lab code."""
import numpy as np
import torch
from torch import nn

from data import table


def stack(*widths):
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layers.append(nn.Linear(a, b))
        if i < len(widths) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class DenoisingAE(nn.Module):
    def __init__(self, columns, code=16, noise=0.2):
        super().__init__()
        self.noise = noise
        self.encoder = stack(columns, 64, code)
        self.decoder = stack(code, 64, columns)

    def forward(self, x):
        if self.training:
            x = x + self.noise * torch.randn_like(x)
        return self.decoder(self.encoder(x))


def load():
    df = table("cells")
    train = (df["case"] == "Train").to_numpy()
    x = df.drop(columns=["case", "class"]).to_numpy(np.float64)
    lo, hi = np.percentile(x[train], [1, 99], axis=0)
    x = x.clip(lo, hi)
    x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-9)
    x = torch.tensor(x, dtype=torch.float32)
    return x[train], x[~train]


def build(seed=0):
    torch.manual_seed(seed)
    x, xv = load()
    ae = DenoisingAE(x.shape[1])
    return {"network": ae, "loss": nn.SmoothL1Loss(), "train": (x, x), "valid": (xv, xv), "batch_size": 32, "epochs": 30,
            "optimizer": torch.optim.Adam(ae.parameters(), lr=2e-3)}
