"""Matrix factorization with biases for film ratings, mini-batch SGD.

rating(u, i) = mean + b_u + b_i + <p_u, q_i>
"""
import torch
from torch import nn

from data import ratings


class BiasedMF(nn.Module):
    def __init__(self, n_users, n_items, mean, k=8):
        super().__init__()
        self.p = nn.Embedding(n_users, k)
        self.q = nn.Embedding(n_items, k)
        self.bu = nn.Embedding(n_users, 1)
        self.bi = nn.Embedding(n_items, 1)
        self.register_buffer("mean", torch.tensor(mean))
        for e in (self.p, self.q):
            nn.init.normal_(e.weight, std=0.05)
        for e in (self.bu, self.bi):
            nn.init.zeros_(e.weight)

    def forward(self, pairs):
        u, i = pairs[:, 0], pairs[:, 1]
        dot = (self.p(u) * self.q(i)).sum(1)
        return self.mean + self.bu(u).squeeze(1) + self.bi(i).squeeze(1) + dot


def rmse_on(net, valid):
    net.eval()
    with torch.no_grad():
        return -((net(valid[0]) - valid[1]) ** 2).mean().sqrt().item()


def build(seed=0):
    torch.manual_seed(seed)
    user, item, stars = ratings(60_000)
    pairs = torch.stack([torch.from_numpy(user), torch.from_numpy(item)], 1)
    stars = torch.from_numpy(stars).float()
    cut = 52_000
    model = BiasedMF(int(user.max()) + 1, int(item.max()) + 1, stars[:cut].mean().item())
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    return {"network": model, "loss": nn.MSELoss(), "optimizer": optimizer, "evaluate": rmse_on,
            "train": (pairs[:cut], stars[:cut]), "valid": (pairs[cut:], stars[cut:]), "batch_size": 128, "epochs": 6}
