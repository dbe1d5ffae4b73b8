"""Variational autoencoder on Fashion-MNIST pictures shrunk to 14 x 14, as a lab exercise."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import fashion

D_IN, D_HID, D_Z = 196, 128, 8


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(D_IN, D_HID)
        self.enc_mean = nn.Linear(D_HID, D_Z)
        self.enc_logvar = nn.Linear(D_HID, D_Z)
        self.dec = nn.Sequential(nn.Linear(D_Z, D_HID), nn.ReLU(), nn.Linear(D_HID, D_IN))

    def encode(self, x):
        h = F.relu(self.enc(x))
        return self.enc_mean(h), self.enc_logvar(h)

    def sample(self, mean, logvar):
        std = torch.exp(0.5 * logvar)
        return mean + std * torch.randn_like(std)

    def forward(self, x):
        mean, logvar = self.encode(x)
        return self.dec(self.sample(mean, logvar)), mean, logvar


def negative_elbo(vae, batch):
    x, _ = batch
    logits, mean, logvar = vae(x)
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kld = -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum(1)
    return (bce + kld).mean()


@torch.no_grad()
def elbo(vae, valid):
    torch.manual_seed(0)
    vae.eval()
    return -negative_elbo(vae, valid).item()


def small(pictures):
    x = torch.from_numpy(pictures).float().unsqueeze(1) / 255
    return F.avg_pool2d(x, 2).flatten(1)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(3000, 600)
    vae = VAE()
    return {
        "network": vae,
        "objective": negative_elbo,
        "evaluate": elbo,
        "train": (small(x), torch.from_numpy(y)),
        "valid": (small(xv), torch.from_numpy(yv)),
        "optimizer": torch.optim.Adam(vae.parameters(), lr=2e-3),
        "batch_size": 50,
        "epochs": 15,
    }
