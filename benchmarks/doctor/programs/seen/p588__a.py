"""Wasserstein GAN with weight clipping for daily curves of electricity demand (24 hours).

Five steps of the critic for one of the generator, RMSprop at 5e-4, no sigmoid, no normalization.
"""
import itertools

import torch
from torch import nn

from data import power


class WGAN(nn.Module):
    def __init__(self, noise=8):
        super().__init__()
        self.noise = noise
        self.generator = nn.Sequential(nn.Linear(noise, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 24))
        self.critic = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, z):
        return self.generator(z)


@torch.no_grad()
def energy(net, valid):
    net.eval()
    real = valid[0][:300]
    z = torch.randn(300, net.noise, generator=torch.Generator().manual_seed(3))
    fake = net(z)
    return -(2 * torch.cdist(real, fake).mean() - torch.cdist(real, real).mean() - torch.cdist(fake, fake).mean()).item()


def build(seed=0):
    torch.manual_seed(seed)
    xa, ya, xb, yb = (torch.from_numpy(a) for a in power())
    x, y = torch.cat([xa, xb]).float(), torch.cat([ya, yb])
    net = WGAN()
    opt_c = torch.optim.RMSprop(net.critic.parameters(), lr=5e-4)
    opt_g = torch.optim.RMSprop(net.generator.parameters(), lr=5e-4)
    turn = itertools.count(1)

    def critic_loss(network, real):
        fake = network(torch.randn(len(real), network.noise)).detach()
        return network.critic(fake).mean() - network.critic(real).mean()

    def step(network, batch, optimizer, objective):
        opt_c.zero_grad()
        objective(network, batch).backward()
        opt_c.step()
        with torch.no_grad():
            for p in network.critic.parameters():
                p.clamp_(-0.1, 0.1)
        if next(turn) % 5 == 0:
            opt_g.zero_grad()
            (-network.critic(network(torch.randn(64, network.noise))).mean()).backward()
            opt_g.step()

    return {
        "network": net,
        "objective": lambda network, batch: critic_loss(network, batch[0]),
        "optimizer": opt_c,
        "step": step,
        "train": (x[:750], y[:750]),
        "valid": (x[750:], y[750:]),
        "batch_size": 32,
        "epochs": 60,
        "evaluate": energy,
    }
