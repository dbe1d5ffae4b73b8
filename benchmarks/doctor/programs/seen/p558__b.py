"""Boston housing with an error bar: the network says a mean and a log-variance for every tract.

    -log p(y | x) = 1/2 * ( log s2 + (y - mu)^2 / s2 )  + const
"""
import torch
from torch import nn

from data import table


class MeanAndVariance(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(n_in, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.mu = nn.Linear(64, 1)
        self.logvar = nn.Linear(64, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.mu(h), self.logvar(h).clamp(-6, 6)


class HeteroscedasticNLL(nn.Module):
    def forward(self, output, y):
        mu, logvar = output
        nll = 0.5 * (torch.exp(-logvar) * (y - mu) ** 2 - logvar)
        return nll.mean()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("BostonHousing2").sample(frac=1, random_state=5)
    y = torch.tensor(df["cmedv"].to_numpy(), dtype=torch.float32)[:, None]
    x = torch.tensor(df.drop(columns=["town", "tract", "medv", "cmedv"]).to_numpy(float), dtype=torch.float32)
    n = 380
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    y = (y - y[:n].mean()) / y[:n].std()
    net = MeanAndVariance(x.shape[1])
    return {
        "network": net,
        "loss": HeteroscedasticNLL(),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "batch_size": 32,
        "epochs": 20,
    }
