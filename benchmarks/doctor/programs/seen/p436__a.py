"""Cases of hepatitis A by state and year: Poisson regression with exposure, a log rate for each state and each year."""
import numpy as np
import torch
from torch import nn

from data import series


class LogRate(nn.Module):
    """log of the expected count = log exposure + state + year + level"""

    def __init__(self, n_states, n_years, level):
        super().__init__()
        self.state = nn.Embedding(n_states, 1)
        self.year = nn.Embedding(n_years, 1)
        nn.init.zeros_(self.state.weight)
        nn.init.zeros_(self.year.weight)
        self.level = nn.Parameter(torch.tensor(level))

    def forward(self, rows):
        offset = rows[:, 2]
        state, year = rows[:, 0].long(), rows[:, 1].long()
        return offset + self.level + (self.state(state) + self.year(year)).squeeze(1)


poisson = nn.PoissonNLLLoss(log_input=True, full=True, reduction="sum")


def build(seed=0):
    torch.manual_seed(seed)
    frame = series("us_contagious_diseases")
    frame = frame[(frame["disease"] == "Hepatitis A") & (frame["weeks_reporting"] > 20)].dropna()
    frame = frame.sample(frac=1.0, random_state=9)
    exposure = np.log(frame["population"] * frame["weeks_reporting"] / 52 / 1e5)
    states = frame["state"].astype("category").cat
    years = frame["year"].astype(int) - int(frame["year"].min())
    x = torch.tensor(np.stack([states.codes, years, exposure], 1), dtype=torch.float32)
    y = torch.tensor(frame["count"].to_numpy(), dtype=torch.float32)
    n = int(0.8 * len(x))
    level = float(y[:n].sum().log() - x[:n, 2].exp().sum().log())
    network = LogRate(len(states.categories), int(years.max()) + 1, level)
    return {
        "network": network,
        "loss": poisson,
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.Adam(network.parameters(), lr=0.03),
        "batch_size": 128,
        "epochs": 30,
    }
