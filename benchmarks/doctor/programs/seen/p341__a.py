"""Stars for films: matrix factorization with biases, MovieLens (small)."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import ratings

N_FACTORS = 40


class MF(nn.Module):
    """mu + b_u + b_i + <p_u, q_i>"""

    def __init__(self, n_users, n_items, mu):
        super().__init__()
        self.mu = mu
        self.P = nn.Embedding(n_users, N_FACTORS)
        self.Q = nn.Embedding(n_items, N_FACTORS)
        self.b_user = nn.Embedding(n_users, 1)
        self.b_item = nn.Embedding(n_items, 1)
        for bias in (self.b_user, self.b_item):
            nn.init.zeros_(bias.weight)

    def forward(self, pairs):
        u, i = pairs[:, 0], pairs[:, 1]
        dot = (self.P(u) * self.Q(i)).sum(-1)
        return self.mu + self.b_user(u).squeeze(-1) + self.b_item(i).squeeze(-1) + dot


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(100000)
    seen, count = np.unique(film, return_counts=True)
    often = np.isin(film, seen[count >= 10])
    user, film, stars = user[often], np.unique(film[often], return_inverse=True)[1], stars[often]
    pairs = torch.from_numpy(np.stack([user, film], 1))
    stars = torch.from_numpy(stars).float()
    cut = int(len(pairs) * 0.85)
    model = MF(int(user.max()) + 1, int(film.max()) + 1, float(stars[:cut].mean()))
    opt = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-5)
    return dict(network=model, loss=F.mse_loss, train=(pairs[:cut], stars[:cut]), valid=(pairs[cut:], stars[cut:]),
                optimizer=opt, batch_size=256, epochs=7)
