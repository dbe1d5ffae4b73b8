# Sale prices in Ames, with a robust loss because of the few very expensive houses.
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from data import table


@dataclass
class Config:
    delta: float = 1.0
    hidden: int = 64
    lr: float = 2e-3
    epochs: int = 25
    batch_size: int = 64
    holdout: int = 600


class RobustLoss(nn.Module):
    """Quadratic near zero, linear beyond delta."""

    def __init__(self, delta):
        super().__init__()
        self.delta = delta

    def forward(self, prediction, target):
        error = prediction - target
        size = error.abs()
        quadratic = size.clamp(max=self.delta)
        return (0.5 * quadratic**2 + self.delta * (size - quadratic)).mean()


class PriceModel(nn.Module):
    def __init__(self, n_features, cfg):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, cfg.hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(cfg.hidden, cfg.hidden),
            nn.ReLU(),
            nn.Linear(cfg.hidden, 1),
        )

    def forward(self, x):
        return self.layers(x)


def features(seed):
    houses = table("ames").sample(frac=1.0, random_state=seed)
    price = np.log(houses.pop("Sale_Price").to_numpy())
    numbers = houses.select_dtypes("number").drop(columns=["Longitude", "Latitude"])
    quality = houses["Heating_QC"].map({"Poor": 0, "Fair": 1, "Typical": 2, "Good": 3, "Excellent": 4})
    return np.column_stack([numbers.to_numpy(float), quality.fillna(2)]), price


def build(seed=0):
    cfg = Config()
    torch.manual_seed(seed)
    x, y = features(seed)
    cut = len(x) - cfg.holdout
    x = (x - x[:cut].mean(0)) / (x[:cut].std(0) + 1e-6)
    y = (y - y[:cut].mean()) / y[:cut].std()
    x = torch.tensor(x.clip(-6, 6), dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    net = PriceModel(x.shape[1], cfg)
    return dict(
        network=net,
        loss=RobustLoss(cfg.delta),
        optimizer=torch.optim.Adam(net.parameters(), lr=cfg.lr),
        train=(x[:cut], y[:cut]),
        valid=(x[cut:], y[cut:]),
        batch_size=cfg.batch_size,
        epochs=cfg.epochs,
    )
