"""Ratings of films: user and film embeddings, and a small network on top."""
import torch
from torch import nn
from data import ratings


class Recommender(nn.Module):
    def __init__(self, users, films, k=8):
        super().__init__()
        self.user, self.film = nn.Embedding(users, k), nn.Embedding(films, k)
        self.top = nn.Sequential(nn.Linear(2 * k, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, pair):
        both = torch.cat([self.user(pair[:, 0]), self.film(pair[:, 1])], dim=1)
        return self.top(both).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(40_000)
    x = torch.stack([torch.tensor(user), torch.tensor(film)], 1)
    y = torch.tensor(stars) - 3.5
    net = Recommender(int(user.max()) + 1, int(film.max()) + 1)
    for e in (net.user, net.film):
        nn.init.normal_(e.weight, std=0.3)
    return dict(network=net, loss=nn.MSELoss(), train=(x[:32000], y[:32000]), valid=(x[32000:], y[32000:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-5), batch_size=500, epochs=6)
