"""Ames, price of a house."""
import numpy as np
import torch
from torch import nn
from data import table

FEATURES = ["Lot_Area", "Year_Built", "Year_Remod_Add", "Total_Bsmt_SF", "First_Flr_SF", "Second_Flr_SF",
            "Gr_Liv_Area", "Full_Bath", "TotRms_AbvGrd", "Fireplaces", "Garage_Cars", "Garage_Area"]


class HousePrices(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(len(FEATURES), 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x):
        return self.net(x)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("ames").sample(1600, random_state=0)
    x = df[FEATURES].to_numpy(np.float32)
    y = df[["Sale_Price"]].to_numpy(np.float32)
    x = (x - x[:1200].mean(0)) / x[:1200].std(0)
    y = (y - y[:1200].mean()) / y[:1200].std()
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    net = HousePrices()
    return {"network": net, "loss": nn.MSELoss(), "train": (x[:1200], y[:1200]), "valid": (x[1200:], y[1200:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 40, "epochs": 10}
