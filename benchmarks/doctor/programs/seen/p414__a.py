# house prices -- baseline network for the team, v3
import numpy as np
import pandas as pd
import torch
from torch import nn

from data import table

TARGET = "Sale_Price"


def prepare(seed=1234):
    houses = table("ames")
    price = np.log10(houses[TARGET].to_numpy())
    houses = houses.sample(frac=1, random_state=seed).reset_index(drop=True)
    numeric = houses.select_dtypes("number").drop(columns=TARGET)
    numeric = numeric.fillna(numeric.median())
    kinds = pd.get_dummies(houses[["Neighborhood", "Bldg_Type", "Central_Air"]], dtype=float)
    features = pd.concat([numeric, kinds], axis=1).to_numpy(np.float32)
    return features, price.astype(np.float32)


def standardize(train, *others):
    center, scale = train.mean(0), train.std(0) + 1e-6
    return [(a - center) / scale for a in (train, *others)]


class PriceNet(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 64), nn.LayerNorm(64), nn.SiLU(), nn.Dropout(0.1),
            nn.Linear(64, 32), nn.SiLU(), nn.Linear(32, 1),
        )

    def forward(self, x):
        return self.layers(x)[:, 0]


def build(seed=0):
    torch.manual_seed(seed)
    features, price = prepare()
    rows = np.random.default_rng(0).permutation(len(price))
    train, valid = rows[:2300], rows[2300:]
    x, xv = standardize(features[train], features[valid])
    x, xv = np.clip(x, -5, 5), np.clip(xv, -5, 5)
    y, yv = standardize(price[train], price[valid])
    net = PriceNet(x.shape[1])
    t = torch.from_numpy
    return {
        "network": net,
        "loss": nn.HuberLoss(),
        "train": (t(x), t(y)),
        "valid": (t(xv), t(yv)),
        "optimizer": torch.optim.AdamW(net.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 15,
    }
