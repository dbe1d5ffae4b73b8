"""Entity embeddings for house prices (after Guo & Berkhahn): categories only plus a little size."""
import numpy as np
import pandas as pd
import torch
from torch import nn

from data import table

CATS = ["Neighborhood", "MS_SubClass", "House_Style", "Exterior_1st", "Foundation", "Garage_Type", "Bldg_Type"]
NUMS = ["Year_Built", "Lot_Area"]


def encode(part, vocab):
    cols = []
    for c in CATS:
        cols.append(part[c].map(vocab[c]).fillna(0).astype(int).to_numpy())
    return np.stack(cols, 1)


class EntityNet(nn.Module):
    def __init__(self, sizes, numbers):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, min(8, (n + 1) // 2)) for n in sizes)
        width = sum(t.embedding_dim for t in self.tables) + numbers
        self.body = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x):
        cats = x[:, : len(self.tables)].long()
        parts = [t(cats[:, i]) for i, t in enumerate(self.tables)]
        return self.body(torch.cat(parts + [x[:, len(self.tables) :]], 1)).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("ames").sample(frac=1, random_state=0).reset_index(drop=True)
    df[CATS] = df[CATS].fillna("None")
    df["Lot_Area"] = np.log(df["Lot_Area"])
    train, valid = df[:2300], df[2300:]

    vocab = {c: {v: i + 1 for i, v in enumerate(train[c].unique())} for c in CATS}
    sizes = [df[c].nunique() + 1 for c in CATS]
    mean, std = train[NUMS].mean(), train[NUMS].std()
    log_price = np.log(train["Sale_Price"])

    def tensors(part):
        x = np.concatenate([encode(part, vocab), ((part[NUMS] - mean) / std).to_numpy()], 1)
        y = (np.log(part["Sale_Price"]) - log_price.mean()) / log_price.std()
        return torch.tensor(x, dtype=torch.float32), torch.tensor(y.to_numpy(), dtype=torch.float32)

    net = EntityNet(sizes, len(NUMS))
    return dict(network=net, loss=nn.MSELoss(), train=tensors(train), valid=tensors(valid),
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3), batch_size=64, epochs=30)
