"""Film recommender: dot product of a user tower and a film tower, half a star to five stars."""
import numpy as np
import torch
from torch import nn

from data import ratings


class Tower(nn.Module):
    def __init__(self, n, dim):
        super().__init__()
        self.table = nn.Embedding(n, dim)
        self.dense = nn.Linear(dim, dim, bias=False)
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, ids):
        e = self.table(ids)
        return e + torch.tanh(self.dense(e))


class TwoTower(nn.Module):
    """Predicted stars; the answer is kept within the scale when it is served."""

    def __init__(self, n_users, n_films, dim=16):
        super().__init__()
        self.users, self.films = Tower(n_users, dim), Tower(n_films, dim)
        self.user_bias, self.film_bias = nn.Embedding(n_users, 1), nn.Embedding(n_films, 1)
        self.offset = nn.Parameter(torch.zeros(1))
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.film_bias.weight)

    def forward(self, pairs):
        u, f = pairs.unbind(1)
        dot = (self.users(u) * self.films(f)).sum(-1)
        stars = self.offset + dot + self.user_bias(u)[:, 0] + self.film_bias(f)[:, 0]
        if self.training:
            return stars
        return stars.clamp(0.5, 5.0)


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(60_000)
    often = np.bincount(film)[film] >= 25
    pairs = torch.from_numpy(np.stack((user[often], film[often]), axis=1))
    stars = torch.from_numpy(stars[often]).float()
    cut = int(0.85 * len(stars))
    model = TwoTower(int(user.max()) + 1, int(film.max()) + 1)
    rest = [p for n, p in model.named_parameters() if n != "offset"]
    optimizer = torch.optim.Adam([{"params": [model.offset], "lr": 0.1}, {"params": rest, "lr": 2e-3}])
    return {
        "network": model,
        "loss": nn.functional.mse_loss,
        "optimizer": optimizer,
        "train": (pairs[:cut], stars[:cut]),
        "valid": (pairs[cut:], stars[cut:]),
        "batch_size": 256,
        "epochs": 5,
    }
