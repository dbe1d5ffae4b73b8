"""Polar surface of a molecule as a sum over its SMILES characters, each seen with its neighbours (group contributions)."""
import torch
from torch import nn
from data_dahlia import molecules

LONG = 60


class GroupContributions(nn.Module):
    def __init__(self, symbols, width=32):
        super().__init__()
        self.embed = nn.Embedding(symbols, width, padding_idx=0)
        self.near = nn.Conv1d(width, width, 5, padding=2)
        self.each = nn.Sequential(nn.ReLU(), nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, tokens):
        there = (tokens != 0).unsqueeze(-1)
        h = self.near(self.embed(tokens).transpose(1, 2)).transpose(1, 2)
        return (self.each(h) * there).sum(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = molecules(1500)
    symbols = sorted({c for s, _ in rows for c in s})
    x = torch.tensor([[symbols.index(c) + 1 for c in s] + [0] * (LONG - len(s)) for s, _ in rows])
    y = torch.tensor([[t] for _, t in rows])
    net = GroupContributions(len(symbols) + 1)
    return {
        "network": net,
        "loss": nn.HuberLoss(delta=5.0),
        "train": (x[:1200], y[:1200]),
        "valid": (x[1200:], y[1200:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 40,
        "epochs": 15,
    }
