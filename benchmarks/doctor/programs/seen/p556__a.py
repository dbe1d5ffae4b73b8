"""Measles by state: next year's incidence from the last six years.

log1p of cases per 100,000 inhabitants, standardized; one network for all states, tried on states it has not seen.
"""
import numpy as np
import torch
from torch import nn

from data_west import diseases

LAGS = 6


def table_of_lags(frame, states):
    """Rows of LAGS numbers and the number that follows, for the given states."""
    rows, targets = [], []
    for _, part in frame[frame["state"].isin(states)].groupby("state", sort=True):
        z = part["z"].to_numpy()
        for t in range(LAGS, len(z)):
            rows.append(z[t - LAGS:t])
            targets.append(z[t])
    return torch.tensor(np.array(rows), dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)[:, None]


class IncidenceModel(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.hidden1 = nn.Linear(LAGS, width)
        self.hidden2 = nn.Linear(width, width)
        self.output = nn.Linear(width, 1)

    def forward(self, x):
        h = torch.relu(self.hidden1(x))
        h = torch.relu(self.hidden2(h))
        return self.output(h)


def build(seed=0):
    torch.manual_seed(seed)
    frame = diseases("Measles")
    frame["rate"] = np.log1p(1e5 * frame["count"] / frame["population"])
    states = sorted(frame["state"].unique())
    held = states[2::5]
    known = frame.loc[~frame["state"].isin(held), "rate"]
    frame["z"] = (frame["rate"] - known.mean()) / known.std()
    net = IncidenceModel()
    return {
        "network": net,
        "loss": nn.HuberLoss(),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "train": table_of_lags(frame, [s for s in states if s not in held]),
        "valid": table_of_lags(frame, held),
        "batch_size": 32,
        "epochs": 12,
    }
