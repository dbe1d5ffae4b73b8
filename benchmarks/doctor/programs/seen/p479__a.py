"""Value of homes in Boston in five ordered bands: proportional odds with a small network."""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from data import table

COLUMNS = ["crim", "zn", "indus", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat"]


class ProportionalOdds(nn.Module):
    def __init__(self, features: int, classes: int = 5) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(features, 24), nn.ELU(), nn.Linear(24, 1, bias=False))
        self.first = nn.Parameter(torch.tensor(-2.0))
        self.gaps = nn.Parameter(torch.zeros(classes - 2))

    def thresholds(self) -> torch.Tensor:
        return torch.cat([self.first.view(1), self.first + F.softplus(self.gaps).cumsum(0)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the bands."""
        above = torch.sigmoid(self.score(x) - self.thresholds())          # P(y > k)
        edges = torch.cat([torch.ones(len(x), 1), above, torch.zeros(len(x), 1)], dim=1)
        return (edges[:, :-1] - edges[:, 1:]).clamp_min(1e-6).log()


def within_half_a_band(net, valid) -> float:
    """Minus the mean distance, in bands, between the expected band and the true one."""
    net.eval()
    x, y = valid
    with torch.no_grad():
        expected = (net(x).exp() * torch.arange(5)).sum(dim=1)
    return -(expected - y).abs().mean().item()


def build(seed: int = 0):
    torch.manual_seed(seed)
    df = table("BostonHousing2").sample(frac=1.0, random_state=5)
    bands = np.digitize(df["cmedv"], np.quantile(df["cmedv"], [0.2, 0.4, 0.6, 0.8]))
    x = torch.tensor(df[COLUMNS].to_numpy(), dtype=torch.float32)
    y = torch.tensor(bands, dtype=torch.long)
    n = 380
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    net = ProportionalOdds(len(COLUMNS))
    return {"network": net, "loss": nn.NLLLoss(), "evaluate": within_half_a_band, "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3), "batch_size": 20, "epochs": 60}
