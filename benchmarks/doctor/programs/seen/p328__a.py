"""Ratings of films by factors. Embeddings are sparse and have an optimizer of their own."""
import torch
import torch.nn as nn
from data import ratings


class Factors(nn.Module):
    def __init__(self, n_users, n_films, k=6):
        super().__init__()
        self.user = nn.Embedding(n_users, k, sparse=True)
        self.film = nn.Embedding(n_films, k, sparse=True)
        self.user_bias = nn.Embedding(n_users, 1, sparse=True)
        self.film_bias = nn.Embedding(n_films, 1, sparse=True)
        self.mix = nn.Linear(k, 1)
        for e in (self.user, self.film):
            nn.init.normal_(e.weight, std=0.01)
        for e in (self.user_bias, self.film_bias):
            nn.init.zeros_(e.weight)

    def forward(self, pairs):
        u, f = pairs.unbind(1)
        score = self.mix(self.user(u) * self.film(f)) + self.user_bias(u) + self.film_bias(f)
        return 3.5 + score.squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    u, f, stars = ratings(80_000)
    pairs = torch.stack([torch.tensor(u), torch.tensor(f)], dim=1)
    stars = torch.tensor(stars, dtype=torch.float32)
    net = Factors(int(u.max()) + 1, int(f.max()) + 1)
    sparse = torch.optim.SparseAdam([p for n, p in net.named_parameters() if not n.startswith("mix")], lr=3e-3)
    dense = torch.optim.Adam(net.mix.parameters(), lr=3e-3)

    def step(network, batch, optimizer, loss):
        dense.zero_grad()
        optimizer.zero_grad()
        loss(network(batch[0]), batch[1]).backward()
        dense.step()
        optimizer.step()

    return {"network": net, "loss": nn.MSELoss(), "train": (pairs[:70000], stars[:70000]),
            "valid": (pairs[70000:], stars[70000:]), "optimizer": sparse, "batch_size": 500, "epochs": 3, "step": step}
