"""Riders of the L, fifty days back, a recurrence written by hand."""
import numpy as np
import torch
from torch import nn
from data import series


class Recurrence(nn.Module):
    def __init__(self, h=16):
        super().__init__()
        self.u = nn.Linear(1, h)
        self.w = nn.Linear(h, h, bias=False)
        self.o = nn.Linear(h, 1)
        nn.init.normal_(self.w.weight, std=0.5)

    def forward(self, x):
        state = torch.zeros(len(x), self.w.in_features)
        for t in range(x.shape[1]):
            state = torch.relu(self.u(x[:, t]) + self.w(state))
        return self.o(state)


def build(seed=0):
    torch.manual_seed(seed)
    v = series("chicago_ridership_daily")["Clark_Lake"].to_numpy()[:1000]
    v = ((v - v.mean()) / v.std()).astype(np.float32)
    k = 50
    x = torch.tensor(np.stack([v[i : i + k] for i in range(len(v) - k)])).unsqueeze(-1)
    y = torch.tensor(v[k:]).unsqueeze(-1)
    net = Recurrence()
    return dict(network=net, loss=nn.MSELoss(), train=(x[:700], y[:700]), valid=(x[700:], y[700:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), batch_size=20, epochs=15)
