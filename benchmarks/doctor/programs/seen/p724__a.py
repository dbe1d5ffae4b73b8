"""Biased matrix factorization of film ratings; the tables are sparse, so that a step costs only what it touches."""
import torch
from torch import nn
from data import ratings


class BiasedMF(nn.Module):
    def __init__(self, n_users, n_items, k=8, mean=3.5):
        super().__init__()
        self.p = nn.Embedding(n_users, k, sparse=True)
        self.q = nn.Embedding(n_items, k, sparse=True)
        self.b_user = nn.Embedding(n_users, 1, sparse=True)
        self.b_item = nn.Embedding(n_items, 1, sparse=True)
        for emb in (self.p, self.q):
            nn.init.normal_(emb.weight, std=0.05)
        for emb in (self.b_user, self.b_item):
            nn.init.zeros_(emb.weight)
        self.register_buffer("mean", torch.tensor(float(mean)))

    def forward(self, pairs):
        u, i = pairs[:, 0], pairs[:, 1]
        bias = self.b_user(u) + self.b_item(i)
        return self.mean + bias.squeeze(1) + (self.p(u) * self.q(i)).sum(1)


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(60_000, seed=seed)
    pairs = torch.stack([torch.from_numpy(user), torch.from_numpy(film)], dim=1)
    stars = torch.from_numpy(stars)
    n = 50_000
    model = BiasedMF(int(user.max()) + 1, int(film.max()) + 1, mean=stars[:n].mean())
    return {
        "network": model,
        "loss": nn.functional.mse_loss,
        "train": (pairs[:n], stars[:n]),
        "valid": (pairs[n:], stars[n:]),
        "optimizer": torch.optim.SparseAdam(list(model.parameters()), lr=4e-3),
        "batch_size": 256,
        "epochs": 6,
    }
