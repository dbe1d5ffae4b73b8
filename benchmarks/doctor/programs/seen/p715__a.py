"""Recommender with dot products, Keras example redone in PyTorch ("Collaborative filtering for MovieLens")."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

from data import ratings

FACTORS = 32


class Recommender(nn.Module):
    def __init__(self, n_users, n_films):
        super().__init__()
        self.user = nn.Embedding(n_users, FACTORS)
        self.film = nn.Embedding(n_films, FACTORS)
        self.user_bias = nn.Embedding(n_users, 1)
        self.film_bias = nn.Embedding(n_films, 1)

    def forward(self, ids):
        u, f = ids.unbind(1)
        dot = (self.user(u) * self.film(f)).sum(1, keepdim=True)
        return dot + self.user_bias(u) + self.film_bias(f)


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(60_000, seed=seed + 10)
    x = torch.stack([torch.as_tensor(user), torch.as_tensor(film)], dim=1)
    cut = 50_000
    y = torch.as_tensor(stars).unsqueeze(1)
    y = (y - y[:cut].mean()) / y[:cut].std()
    net = Recommender(user.max() + 1, film.max() + 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": DataLoader(TensorDataset(x[:cut], y[:cut]), batch_size=500, shuffle=True),
        "valid": DataLoader(TensorDataset(x[cut:], y[cut:]), batch_size=2000),
        "optimizer": optimizer,
        "batch_size": 500,
        "epochs": 3,
    }
