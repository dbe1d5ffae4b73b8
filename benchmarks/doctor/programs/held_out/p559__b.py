"""Variational autoencoder for clothes (Fashion-MNIST), convolutional encoder, 16 latents."""
import torch
import torch.nn.functional as F
from torch import nn

from data import fashion


class VAE(nn.Module):
    def __init__(self, n_latent=16):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),
            nn.Flatten())
        self.mu = nn.Linear(32 * 7 * 7, n_latent)
        self.logvar = nn.Linear(32 * 7 * 7, n_latent)
        self.decode = nn.Sequential(
            nn.Linear(n_latent, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1), nn.Sigmoid())

    def forward(self, x):
        h = self.encode(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu
        if self.training:
            z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return self.decode(z), mu, logvar


def elbo_loss(output, x):
    recon, mu, logvar = output
    rec = F.mse_loss(recon, x)
    kl = -0.5 * torch.sum(1 + logvar - mu ** 2 - logvar.exp(), dim=1).mean()
    return rec + kl


def build(seed=0):
    torch.manual_seed(seed)
    x, _, x_test, _ = fashion(2000, 500)
    x, x_test = (torch.from_numpy(a).float().unsqueeze(1) / 255 for a in (x, x_test))
    vae = VAE()
    return {
        "network": vae,
        "loss": elbo_loss,
        "train": (x, x),
        "valid": (x_test, x_test),
        "optimizer": torch.optim.Adam(vae.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 6,
    }
