"""Variational autoencoder on handwritten digits."""
import torch
from torch import nn
from torch.nn import functional as F

from data import mnist


class VAE(nn.Module):
    def __init__(self, latent=10):
        super().__init__()
        self.fc1 = nn.Linear(784, 200)
        self.fc21 = nn.Linear(200, latent)
        self.fc22 = nn.Linear(200, latent)
        self.fc3 = nn.Linear(latent, 200)
        self.fc4 = nn.Linear(200, 784)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        if not self.training:
            return mu
        std = torch.exp(0.5 * logvar)
        return mu + std * torch.randn_like(std)

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(network, batch):
    x, _ = batch
    recon, mu, logvar = network(x)
    bce = F.binary_cross_entropy(recon, x, reduction="sum") / len(x)
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
    return bce + kld


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = mnist(3000, 600)
    x, xv = (torch.from_numpy(a).view(-1, 784).float() / 255 for a in (x, xv))
    model = VAE()
    return {
        "network": model,
        "objective": loss_function,
        "train": (x, x),
        "valid": (xv, xv),
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 12,
    }
