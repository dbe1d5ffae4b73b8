"""Digits in eight dimensions where equal digits lie close: a margin loss on all pairs of a batch."""
import torch
from torch import nn
from sklearn.datasets import load_digits


def distances(z):
    squared = ((z[:, None] - z[None]) ** 2).sum(-1)
    return squared.sqrt()


def objective(network, batch, margin=2.0):
    x, y = batch
    d = distances(network(x))
    same = (y[:, None] == y[None]).float()
    return (same * d**2 + (1 - same) * torch.relu(margin - d) ** 2).mean()


@torch.no_grad()
def evaluate(network, valid):
    """Share of rows whose nearest other row is of the same digit."""
    network.eval()
    x, y = valid
    d = torch.cdist(network(x), network(x)).fill_diagonal_(float("inf"))
    return (y[d.argmin(1)] == y).float().mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    d = load_digits()
    x, y = torch.tensor(d.data / 16, dtype=torch.float32), torch.tensor(d.target)
    p = torch.randperm(len(x), generator=torch.Generator().manual_seed(40))
    x, y = x[p], y[p]
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 8))
    return {"network": net, "objective": objective, "evaluate": evaluate, "train": (x[:1300], y[:1300]),
            "valid": (x[1300:], y[1300:]), "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 50, "epochs": 8}
