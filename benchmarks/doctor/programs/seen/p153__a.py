"""Adversarial training with a single optimizer and parameter groups, breast tissue measurements."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer


class Pair(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.g = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, d))
        self.d = nn.Sequential(nn.Linear(d, 40), nn.LeakyReLU(0.2), nn.Linear(40, 1))

    def forward(self, x):
        return self.d(x)


def step(network, batch, optimizer, loss):
    x = batch[0]
    fake = network.g(torch.randn(len(x), 6))
    d_loss = F.softplus(-network.d(x)).mean() + F.softplus(network.d(fake.detach())).mean()
    g_loss = F.softplus(-network.d(fake)).mean()
    optimizer.zero_grad()
    (d_loss + g_loss).backward()
    optimizer.step()


@torch.no_grad()
def evaluate(network, valid):
    z = torch.randn(600, 6, generator=torch.Generator().manual_seed(9))
    fake, real = network.g(z), valid[0]
    return -float((fake.mean(0) - real.mean(0)).norm() + (torch.cov(fake.T) - torch.cov(real.T)).norm())


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_breast_cancer().data[:, :6])
    x = ((x - x.mean(0)) / x.std(0)).float()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))]
    net = Pair(6)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.9))
    return dict(network=net, objective=lambda network, b: F.softplus(-network.d(b[0])).mean(), train=(x[:400], x[:400]),
                valid=(x[400:], x[400:]), optimizer=optimizer, batch_size=40, epochs=80, step=step, evaluate=evaluate)
