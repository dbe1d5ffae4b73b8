"""Checkerboard of house prices: is exactly one of rooms, age and distance above its median?"""
import torch
from torch import nn
from data import table


def build(seed=0):
    torch.manual_seed(seed)
    df = table("ames")[["Gr_Liv_Area", "Year_Built", "Lot_Area"]].sample(2900, random_state=0)
    ranks = df.rank(pct=True).to_numpy()
    x = torch.tensor(2 * ranks - 1, dtype=torch.float32) * 1.7
    y = ((x > 0).sum(1) % 2).long()
    net = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:2300], y[:2300]), valid=(x[2300:], y[2300:]),
                optimizer=optimizer, batch_size=50, epochs=30)
