"""Cases of measles by state and year: rates from a network, counts from rates times exposure."""
import numpy as np
import torch
import torch.nn as nn
from data import series


class Rates(nn.Module):
    """Log of expected cases: f(state, year) + log(person-weeks)."""

    def __init__(self, n_states, start):
        super().__init__()
        self.state = nn.Embedding(n_states, 4)
        self.f = nn.Sequential(nn.Linear(4 + 9, 32), nn.Softplus(), nn.Linear(32, 1))
        nn.init.constant_(self.f[-1].bias, start)

    def forward(self, x):
        state, year, log_exposure = x[:, 0].long(), x[:, 1:2], x[:, 2]
        knots = torch.linspace(-1, 1, 9)
        bumps = torch.exp(-((year - knots) / 0.25) ** 2)
        return self.f(torch.cat([self.state(state), bumps], 1)).squeeze(1) + log_exposure


def explained(network, valid):
    """Share of the deviance that a constant rate leaves."""
    network.eval()
    x, y = valid

    def deviance(mean):
        return float((torch.xlogy(y, y / mean) - y + mean).sum())

    with torch.no_grad():
        exposure = x[:, 2].exp()
        return 1 - deviance(network(x).exp()) / deviance(exposure * y.sum() / exposure.sum())


def build(seed=0):
    torch.manual_seed(seed)
    df = series("us_contagious_diseases")
    df = df[(df["disease"] == "Measles") & (df["weeks_reporting"] > 0)].dropna().sample(frac=1.0, random_state=2)
    exposure = df["population"] * df["weeks_reporting"] / 52e5
    state = df["state"].astype("category").cat.codes
    year = (df["year"] - 1965) / 40
    x = torch.tensor(np.stack([state, year, np.log(exposure)], 1), dtype=torch.float32)
    y = torch.tensor(df["count"].to_numpy(), dtype=torch.float32)
    n = int(0.8 * len(x))
    start = float(torch.log(y[:n].sum() / x[:n, 2].exp().sum()))
    net = Rates(int(x[:, 0].max()) + 1, start)
    return dict(network=net, loss=nn.PoissonNLLLoss(log_input=True), evaluate=explained, train=(x[:n], y[:n]), valid=(x[n:], y[n:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3), batch_size=64, epochs=25)
