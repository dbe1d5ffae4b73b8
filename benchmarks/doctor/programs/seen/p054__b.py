"""Passengers of the Chicago Elevated at Clark/Lake, hourly batches of a thousand: a Poisson rate."""
import torch
import torch.nn as nn
from data import series


class RateNet(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.body(x).exp().squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    df = series("chicago_ridership_daily").iloc[:2000]
    y = df["Clark_Lake"].round()
    x = df[["ridership", "Austin", "Oak_Park", "Western", "Merchandise_Mart", "Harlem", "Monroe", "Polk"]]
    x = torch.tensor(((x - x[:1500].mean()) / x[:1500].std()).values, dtype=torch.float32)
    y = torch.tensor(y.values, dtype=torch.float32)
    model = RateNet(x.shape[1])
    return dict(network=model, loss=nn.PoissonNLLLoss(log_input=False), train=(x[:1500], y[:1500]),
                valid=(x[1500:], y[1500:]), optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), batch_size=50, epochs=10)
