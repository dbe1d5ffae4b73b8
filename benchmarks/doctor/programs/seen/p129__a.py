"""Ordered bands of price for houses: cumulative binary targets."""
import torch
import torch.nn as nn
from data import table

BANDS = 5


def to_levels(band):
    return (band.unsqueeze(1) > torch.arange(BANDS - 1)).float()


class Ordinal(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(d, 24), nn.ReLU(), nn.Linear(24, 1, bias=False))
        self.cuts = nn.Parameter(torch.linspace(2, -2, BANDS - 1))

    def forward(self, x):
        return self.score(x) + self.cuts


@torch.no_grad()
def evaluate(network, valid):
    """Negative mean distance between the predicted band and the true one."""
    network.eval()
    x, levels = valid
    return -float(((network(x) > 0).sum(1) - levels.sum(1)).abs().mean())


def build(seed=0):
    torch.manual_seed(seed)
    df = table("ames").sample(1800, random_state=21)
    edges = df["Sale_Price"].quantile([0.2, 0.4, 0.6, 0.8]).to_numpy()
    band = torch.bucketize(torch.tensor(df["Sale_Price"].to_numpy(), dtype=torch.float64), torch.tensor(edges))
    x = df[["Lot_Area", "Year_Built", "Total_Bsmt_SF", "Gr_Liv_Area", "Garage_Area", "Full_Bath"]]
    x = torch.tensor(((x - x.mean()) / x.std()).to_numpy(), dtype=torch.float32).clamp(-4, 4)
    y = to_levels(band)
    net = Ordinal(x.shape[1])
    return dict(network=net, loss=nn.BCEWithLogitsLoss(), train=(x[:1300], y[:1300]), valid=(x[1300:], y[1300:]),
                evaluate=evaluate, optimizer=torch.optim.Adam(net.parameters(), lr=4e-3), batch_size=50, epochs=15)
