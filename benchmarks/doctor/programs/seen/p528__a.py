"""Which films has somebody seen?  Bayesian personalized ranking (Rendle et al., 2009)."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import ratings

FACTORS = 24


class BPR(nn.Module):
    def __init__(self, users, films):
        super().__init__()
        self.user = nn.Embedding(users, FACTORS, sparse=True)
        self.film = nn.Embedding(films, FACTORS, sparse=True)
        self.popular = nn.Embedding(films, 1, sparse=True)
        nn.init.normal_(self.user.weight, std=0.1)
        nn.init.normal_(self.film.weight, std=0.1)
        nn.init.zeros_(self.popular.weight)

    def forward(self, pairs):
        u, f = pairs[:, 0], pairs[:, 1]
        return (self.user(u) * self.film(f)).sum(-1) + self.popular(f).squeeze(-1)


def objective(model, batch):
    pairs, _ = batch
    drawn = torch.randint(model.film.num_embeddings, (len(pairs),))
    other = torch.stack([pairs[:, 0], drawn], dim=1)
    return -F.logsigmoid(model(pairs) - model(other)).mean()


@torch.no_grad()
def evaluate(model, valid):
    """How often a film that was seen ranks above a random one."""
    pairs, other = valid
    return float((model(pairs) > model(torch.stack([pairs[:, 0], other], 1))).float().mean())


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(60_000, seed=3)
    often = np.flatnonzero(np.bincount(film) >= 8)
    keep = np.isin(film, often) & (stars >= 3)
    pairs = torch.from_numpy(np.stack([user[keep], np.searchsorted(often, film[keep])], axis=1))
    cut = len(pairs) - 3000
    others = torch.randint(len(often), (len(pairs),), generator=torch.Generator().manual_seed(1))
    model = BPR(int(user.max()) + 1, len(often))
    return {
        "network": model,
        "objective": objective,
        "evaluate": evaluate,
        "train": (pairs[:cut], torch.ones(cut)),
        "valid": (pairs[cut:], others[cut:]),
        "optimizer": torch.optim.SparseAdam(list(model.parameters()), lr=4e-3),
        "batch_size": 128,
        "epochs": 6,
    }
