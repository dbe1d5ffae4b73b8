"""Matrix factorization without biases: stars less the mean, as the product of a user's and a film's factors."""
import numpy as np
import torch
import torch.nn as nn
from data_birch import films


class Factors(nn.Module):
    def __init__(self, n_users, n_films, k=4, scale=0.001):
        super().__init__()
        self.users = nn.Parameter(scale * torch.randn(n_users, k))
        self.films = nn.Parameter(scale * torch.randn(n_films, k))

    def forward(self, where):
        return (self.users[where[:, 0]] * self.films[where[:, 1]]).sum(1)


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars, _ = films(least=80)
    order = np.random.default_rng(4).permutation(len(user))
    where = torch.tensor(np.stack([user, film], 1)[order])
    stars = torch.tensor(stars[order])
    cut = int(0.85 * len(order))
    stars = stars - stars[:cut].mean()
    net = Factors(int(user.max()) + 1, int(film.max()) + 1)
    return {"network": net, "loss": nn.MSELoss(), "train": (where[:cut], stars[:cut]),
            "valid": (where[cut:], stars[cut:]), "optimizer": torch.optim.SGD(net.parameters(), lr=10.0, weight_decay=3e-4),
            "batch_size": 500, "epochs": 16}
