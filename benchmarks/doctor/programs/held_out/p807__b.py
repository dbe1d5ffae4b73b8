"""How heavy is a penguin?  (lab session 2, linear layers and DataLoader)"""
import pandas as pd
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset, random_split

from data import table

NUM = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm"]


def penguins():
    df = table("penguins").dropna()
    x = (df[NUM] - df[NUM].mean()) / df[NUM].std()
    x = pd.concat([x, pd.get_dummies(df[["species", "island", "sex"]])], axis=1).astype("float32")
    y = df[["body_mass_g"]].astype("float32")
    return TensorDataset(torch.from_numpy(x.to_numpy()), torch.from_numpy(y.to_numpy()))


class PenguinScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(11, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.layers(x)


def build(seed=0):
    torch.manual_seed(seed)
    everything = penguins()
    train, valid = random_split(everything, [253, 80], generator=torch.Generator().manual_seed(1))
    net = PenguinScale()
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": DataLoader(train, batch_size=16, shuffle=True),
        "valid": DataLoader(valid, batch_size=80),
        "optimizer": optim.Adam(net.parameters(), lr=1e-3),
        "batch_size": 16,
        "epochs": 40,
    }
    # net = build()["network"]; print(sum(p.numel() for p in net.parameters()))
