"""Diabetes in a year: much noise, little data, strong weight decay, an honest fit."""
import torch
import torch.nn as nn
from sklearn.datasets import load_diabetes


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(10, 1)
        self.bend = nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        return (self.linear(x) + 0.3 * self.bend(x)).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_diabetes(return_X_y=True)
    p = torch.randperm(442, generator=torch.Generator().manual_seed(1))
    x = torch.tensor(x, dtype=torch.float32)[p] * 21
    y = torch.tensor((y - 152.0) / 77.0, dtype=torch.float32)[p]
    net = Small()
    return dict(network=net, loss=nn.HuberLoss(), train=(x[:330], y[:330]), valid=(x[330:], y[330:]),
                optimizer=torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=0.1), batch_size=30, epochs=25)
