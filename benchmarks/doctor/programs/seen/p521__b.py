"""What a house in Ames sells for.  Categories get embeddings, numbers a batch norm."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn

from data import table

CATS = ["Neighborhood", "House_Style", "Bldg_Type", "Exterior_1st"]
NUMS = ["Gr_Liv_Area", "Total_Bsmt_SF", "Year_Built", "Year_Remod_Add", "Garage_Cars", "Lot_Area", "Full_Bath", "Fireplaces"]


class LogCosh(nn.Module):
    def __init__(self, beta=1.0):
        super().__init__()
        self.beta = beta

    def forward(self, prediction, target):
        gap = self.beta * (prediction - target)
        return (gap + nn.functional.softplus(-2 * gap) - np.log(2.0)).mean() / self.beta


class TabularNet(nn.Module):
    def __init__(self, sizes, n_nums, hidden=64):
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(n, min(12, (n + 1) // 2)) for n in sizes])
        width = sum(e.embedding_dim for e in self.embeds) + n_nums
        self.bn = nn.BatchNorm1d(n_nums)
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, hidden // 2)
        self.lin3 = nn.Linear(hidden // 2, 1)
        self.n_cats = len(sizes)

    def forward(self, x):
        cats, nums = x[:, : self.n_cats].long(), x[:, self.n_cats :]
        x = torch.cat([e(cats[:, i]) for i, e in enumerate(self.embeds)] + [self.bn(nums)], dim=1)
        x = torch.relu(self.lin1(x))
        x = torch.relu(self.lin2(x))
        return self.lin3(x)


def get_data():
    df = table("ames").sample(frac=1, random_state=0)
    codes = pd.DataFrame({c: df[c].astype("category").cat.codes for c in CATS})
    x = np.hstack([codes.to_numpy(np.float32), df[NUMS].fillna(0).to_numpy(np.float32)])
    y = np.log10(df["Sale_Price"].to_numpy(np.float32))
    y = (y - y[:2200].mean()) / y[:2200].std()
    return torch.from_numpy(x), torch.from_numpy(y), [int(codes[c].max()) + 1 for c in CATS]


def build(seed=0):
    torch.manual_seed(seed)
    x, y, sizes = get_data()
    net = TabularNet(sizes, len(NUMS))
    return {
        "network": net,
        "loss": LogCosh(),
        "train": (x[:2200], y[:2200]),
        "valid": (x[2200:], y[2200:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 10,
    }
