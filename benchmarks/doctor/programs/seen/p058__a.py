"""Satellite image: land use of a pixel from its neighbourhood in four bands."""
import torch
from torch import nn
from data import table


def get_split(n=3000, n_train=2200):
    df = table("Satellite").iloc[:n]
    X = torch.tensor(df.iloc[:, :36].values, dtype=torch.float32)
    y = torch.tensor(df["classes"].astype("category").cat.codes.values).long()
    X = (X - X.mean(0)) / X.std(0)
    perm = torch.randperm(n, generator=torch.Generator().manual_seed(4))
    X = X[perm]
    return (X[:n_train], y[:n_train]), (X[n_train:], y[n_train:])


def build(seed=0):
    torch.manual_seed(seed)
    train, valid = get_split()
    net = nn.Sequential(nn.Linear(36, 64), nn.ReLU(), nn.Linear(64, 6))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=train, valid=valid, batch_size=64, epochs=8,
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3))
