"""Bayesian personalized ranking: films that somebody liked should score above films drawn at random."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from data_birch import films


class BPR(nn.Module):
    def __init__(self, n_users, n_films, dim=24):
        super().__init__()
        self.user = nn.Embedding(n_users, dim, sparse=True)
        self.film = nn.Embedding(n_films, dim, sparse=True)
        self.liked = nn.Embedding(n_films, 1, sparse=True)
        nn.init.normal_(self.user.weight, std=0.1)
        nn.init.normal_(self.film.weight, std=0.1)
        nn.init.zeros_(self.liked.weight)

    def forward(self, pairs):
        u, f = pairs.unbind(-1)
        return (self.user(u) * self.film(f)).sum(-1) + self.liked(f).squeeze(-1)


def bpr_objective(network, batch):
    pairs, _ = batch
    others = pairs.clone()
    others[:, 1] = torch.randint(network.film.num_embeddings, (len(pairs),))
    return -F.logsigmoid(network(pairs) - network(others)).mean()


def evaluate(network, valid):
    """How often a liked film of the held-out rows is put above a random one, less a half."""
    network.eval()
    pairs, others = valid
    with torch.no_grad():
        return float((network(pairs) > network(others)).float().mean()) - 0.5


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars, _ = films(least=40)
    rows = np.stack([user, film], 1)[stars >= 4]
    rows = torch.tensor(rows[np.random.default_rng(0).permutation(len(rows))])
    n = len(rows) - 3000
    other = rows[n:].clone()
    other[:, 1] = torch.randint(int(film.max()) + 1, (3000,), generator=torch.Generator().manual_seed(1))
    net = BPR(int(user.max()) + 1, int(film.max()) + 1)
    return dict(network=net, objective=bpr_objective, train=(rows[:n], rows[:n]), valid=(rows[n:], other),
                evaluate=evaluate, optimizer=torch.optim.SparseAdam(net.parameters(), lr=0.01), batch_size=256, epochs=8)
