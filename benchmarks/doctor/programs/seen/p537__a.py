"""WGAN-GP that invents days of electricity demand (24 hours)."""
import itertools

import torch
from torch import autograd, nn, optim

from data import power

LATENT, LAMBDA, N_CRITIC = 8, 10.0, 3


class WGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(LATENT, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 24))
        self.critic = nn.Sequential(nn.Linear(24, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, days):
        return self.critic(days).squeeze(1)

    def sample(self, n, generator=None):
        return self.generator(torch.randn(n, LATENT, generator=generator))


def gradient_penalty(critic, real, fake):
    mix = torch.rand(len(real), 1)
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (slope,) = autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


def wasserstein(output, target):
    """Real days count 1, invented ones -1."""
    return -(output * target).mean()


class Alternate:
    def __init__(self, critic_optimizer):
        self.critic_optimizer = critic_optimizer
        self.turn = itertools.count(1)

    def __call__(self, network, batch, optimizer, loss):
        real, ones = batch
        fake = network.sample(len(real)).detach()
        self.critic_optimizer.zero_grad()
        value = loss(network(real), ones) + loss(network(fake), -ones)
        (value + LAMBDA * gradient_penalty(network, real, fake)).backward()
        self.critic_optimizer.step()
        if next(self.turn) % N_CRITIC == 0:
            optimizer.zero_grad()
            loss(network(network.sample(len(real))), ones).backward()
            optimizer.step()
        return float(value)


@torch.no_grad()
def evaluate(network, valid):
    real = valid[0]
    fake = network.sample(len(real), torch.Generator().manual_seed(1))
    return float(torch.cdist(real, real).mean() + torch.cdist(fake, fake).mean() - 2 * torch.cdist(real, fake).mean())


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = power()
    days = torch.cat([torch.as_tensor(x), torch.as_tensor(xv)]).float()
    days = days[torch.randperm(len(days), generator=torch.Generator().manual_seed(5))]
    train, valid = days[:800], days[800:]
    net = WGAN()
    settings = {"lr": 5e-4, "betas": (0.0, 0.9)}
    step = Alternate(optim.Adam(net.critic.parameters(), **settings))
    return {"network": net, "loss": wasserstein, "train": (train, torch.ones(len(train))), "valid": (valid, torch.ones(len(valid))),
            "optimizer": optim.Adam(net.generator.parameters(), **settings), "step": step, "evaluate": evaluate,
            "batch_size": 50, "epochs": 60}
