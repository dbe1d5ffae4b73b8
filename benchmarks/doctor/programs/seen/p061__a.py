"""Ratings of films by biases and factors; sparse embeddings and SparseAdam."""
import torch
from torch import nn
from data import ratings


class Factors(nn.Module):
    def __init__(self, users, films, k=6, mean=0.0):
        super().__init__()
        self.p = nn.Embedding(users, k, sparse=True)
        self.q = nn.Embedding(films, k, sparse=True)
        self.bu = nn.Embedding(users, 1, sparse=True)
        self.bf = nn.Embedding(films, 1, sparse=True)
        self.mean = mean
        for e in (self.p, self.q):
            nn.init.normal_(e.weight, std=0.05)
        for e in (self.bu, self.bf):
            nn.init.zeros_(e.weight)

    def forward(self, x):
        u, f = x[:, 0], x[:, 1]
        return self.mean + (self.bu(u) + self.bf(f)).squeeze(1) + (self.p(u) * self.q(f)).sum(1)


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(60_000)
    x = torch.stack([torch.tensor(user), torch.tensor(film)], dim=1)
    y = torch.tensor(stars)
    net = Factors(int(user.max()) + 1, int(film.max()) + 1, mean=float(y[:50_000].mean()))
    return dict(network=net, loss=nn.MSELoss(), train=(x[:50_000], y[:50_000]), valid=(x[50_000:], y[50_000:]),
                optimizer=torch.optim.SparseAdam(list(net.parameters()), lr=5e-3), batch_size=500, epochs=5)
