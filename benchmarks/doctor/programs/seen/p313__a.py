"""Ames house prices.

Prices are logged and standardized for training; `evaluate` reports R^2 in log dollars.
"""
import numpy as np
import torch
import torch.nn as nn
from data import table

NUMERIC = ["Lot_Area", "Year_Built", "Year_Remod_Add", "Total_Bsmt_SF", "First_Flr_SF", "Second_Flr_SF", "Gr_Liv_Area",
           "Full_Bath", "Half_Bath", "Bedroom_AbvGr", "TotRms_AbvGrd", "Fireplaces", "Garage_Cars", "Garage_Area"]


class Houses:
    def __init__(self, n_train=2000, seed=4):
        df = table("ames").drop_duplicates().sample(frac=1.0, random_state=seed).reset_index(drop=True)
        x = np.log1p(df[NUMERIC].to_numpy(np.float64))
        price = np.log(df["Sale_Price"].to_numpy(np.float64))
        self.mean, self.std = price[:n_train].mean(), price[:n_train].std()
        x = (x - x[:n_train].mean(0)) / x[:n_train].std(0)
        target = (price - self.mean) / self.std
        self.train = self.pack(x[:n_train], target[:n_train])
        self.valid = self.pack(x[n_train:], target[n_train:])

    @staticmethod
    def pack(x, y):
        return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1)


class Regressor(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 64), nn.SiLU(), nn.Linear(64, 32), nn.SiLU())
        self.out = nn.Linear(32, 1)

    def forward(self, x):
        return self.out(self.body(x))


def build(seed=0):
    torch.manual_seed(seed)
    houses = Houses()
    net = Regressor(len(NUMERIC))

    def evaluate(network, valid):
        network.eval()
        x, y = valid[0], valid[1] * houses.std + houses.mean
        with torch.no_grad():
            prediction = network(x)
        return 1 - ((prediction - y) ** 2).sum().item() / ((y - y.mean()) ** 2).sum().item()

    return {
        "network": net,
        "loss": nn.SmoothL1Loss(),
        "train": houses.train,
        "valid": houses.valid,
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 40,
        "epochs": 15,
        "evaluate": evaluate,
    }
