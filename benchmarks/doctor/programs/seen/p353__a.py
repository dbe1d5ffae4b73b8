"""A GAN that draws days of electricity demand (24 hours)."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import power

Z = 8


class Players(nn.Module):
    def __init__(self):
        super().__init__()
        self.G = nn.Sequential(nn.Linear(Z, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 24))
        self.D = nn.Sequential(nn.Linear(24, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))

    def forward(self, x):
        return self.D(x)


def adversarial(network, batch):
    real, _ = batch
    fake = network.G(torch.randn(len(real), Z))
    return F.softplus(-network.D(real)).mean() + F.softplus(network.D(fake)).mean()


def evaluate(network, valid):
    """Minus the energy distance between true days and as many drawn ones."""
    network.eval()
    x, _ = valid
    with torch.no_grad():
        z = torch.randn(len(x), Z, generator=torch.Generator().manual_seed(5))
        g = network.G(z)
        between, within_x, within_g = (torch.cdist(a, b).mean() for a, b in ((x, g), (x, x), (g, g)))
    return -float(2 * between - within_x - within_g)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = power()
    x, y = np.concatenate([x, xv]), np.concatenate([y, yv])
    x, y = torch.tensor(x), torch.tensor(y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    x, y = x[order], y[order]
    players = Players()
    opt_d = torch.optim.Adam(players.D.parameters(), lr=1e-3, betas=(0.5, 0.99))
    opt_g = torch.optim.Adam(players.G.parameters(), lr=1e-3, betas=(0.5, 0.99))

    def step(network, batch, optimizer, loss):
        opt_d.zero_grad()
        d_loss = loss(network, batch)
        d_loss.backward()
        opt_d.step()
        network.D.requires_grad_(False)
        opt_g.zero_grad()
        z = torch.randn(len(batch[0]), Z)
        g_loss = F.softplus(-network.D(network.G(z))).mean()
        g_loss.backward()
        opt_g.step()
        return d_loss

    return {"network": players, "objective": adversarial, "evaluate": evaluate, "step": step, "train": (x[:800], y[:800]),
            "valid": (x[800:], y[800:]), "optimizer": opt_d, "batch_size": 50, "epochs": 45}
