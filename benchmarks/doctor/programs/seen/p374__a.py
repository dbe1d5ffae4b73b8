"""Boston: a thousand dollars are the unit, cosines of random directions the features."""
import math

import torch
from torch import nn
from data import table


class RandomFourier(nn.Module):
    def __init__(self, d_in, n, width=4.0):
        super().__init__()
        self.register_buffer("w", torch.randn(d_in, n) / width)
        self.register_buffer("b", 2 * math.pi * torch.rand(n))

    def forward(self, x):
        return math.sqrt(2 / self.w.shape[1]) * torch.cos(x @ self.w + self.b)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("BostonHousing2").sample(frac=1.0, random_state=9)
    y = torch.tensor(df["cmedv"].to_numpy(), dtype=torch.float32)[:, None]
    x = torch.tensor(df[["crim", "indus", "nox", "rm", "age", "dis", "tax", "ptratio", "lstat"]].to_numpy(), dtype=torch.float32)
    x[:, 0].log_()
    x = (x - x[:400].mean(0)) / x[:400].std(0)
    head = nn.Linear(300, 1)
    nn.init.zeros_(head.weight)
    head.bias.data.fill_(float(y[:400].mean()))
    return dict(network=nn.Sequential(RandomFourier(9, 300), head), loss=nn.MSELoss(), train=(x[:400], y[:400]),
                valid=(x[400:], y[400:]), optimizer=torch.optim.SGD(head.parameters(), lr=0.4), batch_size=20, epochs=60)
