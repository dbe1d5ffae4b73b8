"""Fat content of meat from its near-infrared spectrum (Tecator)."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from data import table


@dataclass
class Config:
    hidden: tuple = (32, 16)
    lr: float = 2e-3
    batch_size: int = 16
    epochs: int = 60


def mlp(sizes):
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layers.append(nn.Linear(a, b))
        if i < len(sizes) - 2:
            layers.append(nn.Tanh())
    return nn.Sequential(*layers)


def prepare(frame, n_train, rng):
    spectra = frame.filter(like="x_").to_numpy()
    fat = frame["fat"].to_numpy()
    spectra = np.hstack([spectra, np.diff(spectra, axis=1) * 50])
    order = rng.permutation(len(frame))
    spectra, fat = spectra[order], fat[order]
    mu, sd = spectra[:n_train].mean(0), spectra[:n_train].std(0)
    x = (spectra - mu) / sd
    y = (fat - fat[:n_train].mean()) / fat[:n_train].std()
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    cfg = Config()
    x, y = prepare(table("meats"), 160, np.random.default_rng(5))
    net = mlp((x.shape[1], *cfg.hidden, 1))
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": (x[:160], y[:160]),
        "valid": (x[160:], y[160:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=cfg.lr),
        "batch_size": cfg.batch_size,
        "epochs": cfg.epochs,
    }
