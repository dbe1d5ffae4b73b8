"""Conditional GAN with a projection discriminator and spectral norm; digits 8 x 8.

Judged by how many of its digits a nearest-mean classifier takes for what was ordered.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.nn.utils.parametrizations import spectral_norm as sn

NOISE = 10


class G(nn.Module):
    def __init__(self):
        super().__init__()
        self.label = nn.Embedding(10, 16)
        self.body = nn.Sequential(nn.Linear(NOISE + 16, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 96),
                                  nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 64), nn.Tanh())

    def forward(self, labels):
        z = torch.randn(len(labels), NOISE)
        return self.body(torch.cat([z, self.label(labels)], 1))


class D(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(sn(nn.Linear(64, 96)), nn.LeakyReLU(0.1), sn(nn.Linear(96, 64)), nn.LeakyReLU(0.1))
        self.score = sn(nn.Linear(64, 1))
        self.label = sn(nn.Embedding(10, 64))

    def forward(self, x, labels):
        h = self.body(x)
        return self.score(h).squeeze(1) + (self.label(labels) * h).sum(1)


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.d = G(), D()

    def forward(self, labels):
        return self.g(labels)


def make_step(opt_d):
    def step(net, batch, opt_g, loss):
        labels, real = batch
        fake = net.g(labels).detach()
        d_loss = F.relu(1 - net.d(real, labels)).mean() + F.relu(1 + net.d(fake, labels)).mean()
        opt_d.zero_grad()
        d_loss.backward()
        opt_d.step()

        g_loss = -net.d(net.g(labels), labels).mean()
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()

    return step


def obedience(net, valid):
    net.eval()
    labels, real = valid
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        fake = net.g(labels)
    means = torch.stack([real[labels == c].mean(0) for c in range(10)])
    return float((torch.cdist(fake, means).argmin(1) == labels).float().mean())


def build(seed=0):
    torch.manual_seed(seed)
    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32) / 8 - 1
    y = torch.tensor(data.target)
    net = Both()
    opt_d = torch.optim.Adam(net.d.parameters(), lr=2e-3, betas=(0.0, 0.9))
    opt_g = torch.optim.Adam(net.g.parameters(), lr=1e-3, betas=(0.0, 0.9))
    return {"network": net, "loss": None, "step": make_step(opt_d), "optimizer": opt_g, "train": (y[:1400], x[:1400]),
            "valid": (y[1400:], x[1400:]), "evaluate": obedience, "batch_size": 50, "epochs": 18}
