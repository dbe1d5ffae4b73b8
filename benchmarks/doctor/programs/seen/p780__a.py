"""Biased matrix factorization, sparse embeddings with their own optimizer (ratings of films, half stars)."""
import torch
from torch import nn
from data import ratings


class BiasedMF(nn.Module):
    def __init__(self, users, films, mean, k=8):
        super().__init__()
        self.user, self.film = nn.Embedding(users, k, sparse=True), nn.Embedding(films, k, sparse=True)
        self.user_bias, self.film_bias = nn.Embedding(users, 1, sparse=True), nn.Embedding(films, 1, sparse=True)
        for e in (self.user, self.film):
            nn.init.normal_(e.weight, std=0.05)
        for e in (self.user_bias, self.film_bias):
            nn.init.zeros_(e.weight)
        self.mean = nn.Parameter(torch.tensor(mean))

    def forward(self, pairs):
        u, f = pairs[:, 0], pairs[:, 1]
        bias = self.user_bias(u) + self.film_bias(f)
        return self.mean + bias.squeeze(1) + (self.user(u) * self.film(f)).sum(1)


class Step:
    def __init__(self, dense):
        self.dense = dense

    def __call__(self, net, batch, optimizer, loss):
        optimizer.zero_grad()
        self.dense.zero_grad()
        loss(net(batch[0]), batch[1]).backward()
        optimizer.step()
        self.dense.step()


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(30_000)
    pairs = torch.stack([torch.from_numpy(user), torch.from_numpy(film)], 1)
    stars = torch.from_numpy(stars).float()
    cut = 26_000
    net = BiasedMF(int(user.max()) + 1, int(film.max()) + 1, float(stars[:cut].mean()))
    tables = [net.user.weight, net.film.weight, net.user_bias.weight, net.film_bias.weight]
    opt = torch.optim.SparseAdam(tables, lr=2e-3)
    dense = torch.optim.SGD([net.mean], lr=1e-3)
    return {"network": net, "loss": nn.MSELoss(), "step": Step(dense), "optimizer": opt, "batch_size": 128, "epochs": 5,
            "train": (pairs[:cut], stars[:cut]), "valid": (pairs[cut:], stars[cut:])}
