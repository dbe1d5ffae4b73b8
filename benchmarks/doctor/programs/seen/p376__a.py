"""An interval for tomorrow's ridership: quantiles 0.1, 0.5 and 0.9 of the day, from a week of days."""
import numpy as np
import torch
from torch import nn
from data import series

QUANTILES = torch.tensor([0.1, 0.5, 0.9])


def pinball(q, y):
    gap = y - q
    return torch.maximum(QUANTILES * gap, (QUANTILES - 1) * gap).sum(1).mean()


class QuantileNet(nn.Module):
    """Quantiles that cannot cross: the middle, and two steps away from it."""

    def __init__(self, d):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(d, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, x):
        middle, down, up = self.f(x).unbind(1)
        down, up = nn.functional.softplus(down), nn.functional.softplus(up)
        return torch.stack([middle - down, middle, middle + up], 1)


def skill(network, valid):
    network.eval()
    x, y = valid
    with torch.no_grad():
        constant = torch.quantile(y, QUANTILES).expand(len(y), 3)
        return 1 - float(pinball(network(x), y) / pinball(constant, y))


def build(seed=0):
    torch.manual_seed(seed)
    r = series("chicago_ridership_daily")["ridership"].to_numpy(np.float32)[:3000]
    r = (r - r.mean()) / r.std()
    windows = np.lib.stride_tricks.sliding_window_view(r, 8)
    x, y = torch.tensor(windows[:, :7]), torch.tensor(windows[:, 7:])
    net = QuantileNet(7)
    return dict(network=net, loss=pinball, evaluate=skill, train=(x[:2300], y[:2300]), valid=(x[2310:], y[2310:]),
                optimizer=torch.optim.RAdam(net.parameters(), lr=3e-3), batch_size=32, epochs=8)
