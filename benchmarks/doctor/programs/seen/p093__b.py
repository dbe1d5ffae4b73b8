"""GAN on the four measurements of iris."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_iris


class GAN(nn.Module):
    def __init__(self, noise=4):
        super().__init__()
        self.noise = noise
        self.G = nn.Sequential(nn.Linear(noise, 32), nn.ReLU(), nn.Linear(32, 4))
        self.D = nn.Sequential(nn.Linear(4, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, x):
        return self.D(x)


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_iris().data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    x = x[torch.randperm(150, generator=torch.Generator().manual_seed(0))]
    net = GAN()
    opt_d = torch.optim.Adam(net.D.parameters(), lr=2e-3, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(net.G.parameters(), lr=2e-3, betas=(0.5, 0.999))

    def step(network, batch, optimizer, loss):
        real = batch[0]
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        fake = network.G(torch.randn(len(real), network.noise))
        opt_d.zero_grad()
        d_loss = loss(network.D(real), ones) + loss(network.D(fake.detach()), zeros)
        d_loss.backward()
        opt_d.step()
        optimizer.zero_grad()
        g_loss = loss(network.D(fake.detach()), ones)
        g_loss.backward()
        optimizer.step()

    def evaluate(network, valid):
        with torch.no_grad():
            g = torch.Generator().manual_seed(1)
            fake = network.G(torch.randn(500, network.noise, generator=g))
        real = valid[0]
        return -float((fake.mean(0) - real.mean(0)).norm() + (torch.cov(fake.T) - torch.cov(real.T)).norm())

    return {"network": net, "loss": F.binary_cross_entropy_with_logits, "train": (x[:100], torch.ones(100, 1)), "valid": (x[100:], torch.ones(50, 1)),
            "optimizer": opt_g, "batch_size": 20, "epochs": 150, "step": step, "evaluate": evaluate}
