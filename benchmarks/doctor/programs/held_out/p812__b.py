"""Variational autoencoder on Fashion-MNIST, after the Keras example "Variational AutoEncoder".

`evaluate` gives the share of the pixels' variance that a reconstruction (from the posterior's mean) explains.
"""
import torch
import torch.nn.functional as F
from torch import nn

from data import fashion

LATENT = 10


class Sampling(nn.Module):
    """Uses (z_mean, z_log_var) to sample z."""

    def forward(self, z_mean, z_log_var):
        return z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)


class VAE(nn.Module):
    def __init__(self, latent_dim=LATENT):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 256), nn.ReLU())
        self.z_mean = nn.Linear(256, latent_dim)
        self.z_log_var = nn.Linear(256, latent_dim)
        self.sampling = Sampling()
        self.decoder = nn.Sequential(nn.Linear(latent_dim, 256), nn.ReLU(), nn.Linear(256, 784), nn.Sigmoid())

    def encode(self, x):
        h = self.encoder(x)
        return self.z_mean(h), self.z_log_var(h)

    def forward(self, x):
        z_mean, z_log_var = self.encode(x)
        z = self.sampling(z_mean, z_log_var) if self.training else z_mean
        return self.decoder(z), z_mean, z_log_var


def objective(vae, batch):
    x, _ = batch
    reconstruction, z_mean, z_log_var = vae(x)
    reconstruction_loss = F.binary_cross_entropy(reconstruction, x, reduction="none").sum(1).mean()
    kl_loss = -0.5 * (1 + z_log_var - z_mean.square() - z_log_var.exp())
    kl_loss = kl_loss.sum(1).mean()
    return reconstruction_loss + kl_loss


def evaluate(vae, valid):
    vae.eval()
    x = valid[0]
    with torch.no_grad():
        error = (vae(x)[0] - x).square().sum()
    return 1 - float(error / (x - x.mean(0)).square().sum())


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(4000, 1000)
    x, xv = (torch.from_numpy(a).float().flatten(1) / 255 for a in (x, xv))
    vae = VAE()
    return {"network": vae, "objective": objective, "train": (x, torch.from_numpy(y)), "valid": (xv, torch.from_numpy(yv)),
            "optimizer": torch.optim.Adam(vae.parameters(), lr=1e-3), "batch_size": 64, "epochs": 10, "evaluate": evaluate}
