"""Matrix factorization for MovieLens.

Question from my thesis notes: how far does plain PyTorch get with funk-SVD, i.e. mean + user bias + film bias + p.q?
"""
import numpy as np
import torch
from data import ratings
from torch import nn


class FunkSVD(nn.Module):
    def __init__(self, n_users, n_films, k, mean):
        super().__init__()
        self.p = nn.Embedding(n_users, k)
        self.q = nn.Embedding(n_films, k)
        self.bu = nn.Embedding(n_users, 1)
        self.bi = nn.Embedding(n_films, 1)
        self.register_buffer("mean", torch.tensor(mean))
        for table in (self.p, self.q, self.bu, self.bi):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, pair):
        u, i = pair[:, 0], pair[:, 1]
        dot = (self.p(u) * self.q(i)).sum(1)
        return self.mean + self.bu(u).squeeze(1) + self.bi(i).squeeze(1) + dot


class Regularised(nn.Module):
    """Squared error; the quadratic penalty of the paper sits in `objective`, on the rows that a batch touches."""

    def __init__(self, lam):
        super().__init__()
        self.lam = lam

    def forward(self, net, batch):
        pair, stars = batch
        error = (net(pair) - stars).square().mean()
        rows = [net.p(pair[:, 0]), net.q(pair[:, 1]), net.bu(pair[:, 0]), net.bi(pair[:, 1])]
        return error + self.lam * sum(r.square().sum(1).mean() for r in rows)


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(80_000)
    often = np.bincount(film)[film] >= 5
    user, film, stars = user[often], film[often], stars[often]
    pair = torch.tensor(np.stack([user, film], 1))
    stars = torch.tensor(stars, dtype=torch.float32)
    cut = int(0.85 * len(stars))
    net = FunkSVD(int(user.max()) + 1, int(film.max()) + 1, k=24, mean=float(stars[:cut].mean()))
    return {
        "network": net,
        "objective": Regularised(lam=0.03),
        "train": (pair[:cut], stars[:cut]),
        "valid": (pair[cut:], stars[cut:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3),
        "batch_size": 512,
        "epochs": 12,
    }
