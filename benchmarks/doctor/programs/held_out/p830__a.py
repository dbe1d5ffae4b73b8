"""Variational autoencoder for clothes.

The loss is the negative evidence lower bound: binary cross-entropy summed over pixels plus KL, mean over pictures.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion


class VAE(nn.Module):
    def __init__(self, d=784, h=200, z=12):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(d, h), nn.ReLU())
        self.mu = nn.Linear(h, z)
        self.logvar = nn.Linear(h, z)
        self.dec = nn.Sequential(nn.Linear(z, h), nn.ReLU(), nn.Linear(h, d))

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu
        if self.training:
            z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.dec(z), mu, logvar


def elbo(network, batch):
    x, target = batch
    logits, mu, logvar = network(x)
    rec = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
    kl = -0.5 * (1 + logvar - mu ** 2 - logvar.exp()).sum(1)
    return (rec + kl).mean()


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = fashion(4000, 1000)
    x, xv = (torch.tensor(a).float().flatten(1) / 255 for a in (x, xv))
    vae = VAE()
    return dict(network=vae, objective=elbo, train=(x, x), valid=(xv, xv),
                optimizer=torch.optim.Adam(vae.parameters(), lr=1e-3), batch_size=64, epochs=25)
