"""Matrix factorization with biases on MovieLens (small).  r = mu + b_u + b_i + p_u . q_i"""
import torch
from torch import nn

from data import ratings


class BiasedMF(nn.Module):
    def __init__(self, n_users, n_items, k=16, mu=3.5):
        super().__init__()
        self.mu = mu
        self.user_bias = nn.Embedding(n_users, 1)
        self.item_bias = nn.Embedding(n_items, 1)
        self.user_factors = nn.Embedding(n_users, k)
        self.item_factors = nn.Embedding(n_items, k)
        for bias in (self.user_bias, self.item_bias):
            nn.init.zeros_(bias.weight)
        for factors in (self.user_factors, self.item_factors):
            nn.init.normal_(factors.weight, std=0.05)

    def forward(self, pairs):
        u, i = pairs[:, 0], pairs[:, 1]
        dot = (self.user_factors(u) * self.item_factors(i)).sum(1)
        return self.mu + self.user_bias(u).squeeze(1) + self.item_bias(i).squeeze(1) + dot


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars = ratings(60_000)
    pairs = torch.stack([torch.from_numpy(user), torch.from_numpy(film)], dim=1)
    stars = torch.from_numpy(stars).float()
    cut = 54_000
    net = BiasedMF(int(user.max()) + 1, int(film.max()) + 1, mu=float(stars[:cut].mean()))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3, weight_decay=0.1)
    return dict(network=net, loss=nn.functional.mse_loss, optimizer=optimizer, batch_size=512, epochs=5,
                train=(pairs[:cut], stars[:cut]), valid=(pairs[cut:], stars[cut:]))
