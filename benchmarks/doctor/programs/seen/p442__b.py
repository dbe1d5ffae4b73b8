"""House prices in Ames, Iowa.

I take the handful of columns that make sense to me and put a small network on top.
"""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import table

columns = ["Lot_Area", "Year_Built", "Year_Remod_Add", "Total_Bsmt_SF", "Gr_Liv_Area", "Full_Bath", "TotRms_AbvGrd",
           "Fireplaces", "Garage_Cars", "Garage_Area", "Latitude", "Longitude"]


def build(seed=0):
    torch.manual_seed(seed)
    df = table("ames")
    rng = np.random.RandomState(1)
    perm = rng.permutation(len(df))
    train_idx, test_idx = perm[:2300], perm[2300:]

    x = df[columns].to_numpy(dtype=np.float32)
    mean, std = x[train_idx].mean(0), x[train_idx].std(0)
    x = (x - mean) / std
    price = df["Sale_Price"].to_numpy(dtype=np.float32)
    price = (price - price[train_idx].mean()) / price[train_idx].std()
    y = torch.from_numpy(price).unsqueeze(1)
    x = torch.from_numpy(x)

    train_dl = DataLoader(TensorDataset(x[train_idx], y[train_idx]), batch_size=32, shuffle=True)
    test_dl = DataLoader(TensorDataset(x[test_idx], y[test_idx]), batch_size=256)

    net = nn.Sequential(
        nn.Linear(len(columns), 64), nn.ReLU(),
        nn.Linear(64, 32), nn.ReLU(),
        nn.Linear(32, 1))
    return {"network": net, "loss": nn.MSELoss(), "train": train_dl, "valid": test_dl, "batch_size": 32, "epochs": 30,
            "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3)}
