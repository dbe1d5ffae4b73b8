"""Variational autoencoder, clothes. I follow the PyTorch example but with my own names."""
import torch
from torch import nn
from torch.nn import functional as F
from data import fashion


class VAE(nn.Module):
    def __init__(self, latent=10):
        super().__init__()
        self.enc = nn.Linear(784, 200)
        self.to_mu = nn.Linear(200, latent)
        self.to_logvar = nn.Linear(200, latent)
        self.dec1 = nn.Linear(latent, 200)
        self.dec2 = nn.Linear(200, 784)

    def encode(self, x):
        h = F.relu(self.enc(x))
        return self.to_mu(h), self.to_logvar(h)

    def decode(self, z):
        return torch.sigmoid(self.dec2(F.relu(self.dec1(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.flatten(1))
        z = mu
        if self.training:
            z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.decode(z), mu, logvar


def elbo(network, batch):
    x = batch[0].flatten(1)
    recon, mu, logvar = network(x)
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (bce + kld) / len(x)


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = fashion(2500, 500)
    x, xv = (torch.from_numpy(a).float().flatten(1) / 255 for a in (x, xv))
    model = VAE()
    return dict(network=model, objective=elbo, train=(x, x), valid=(xv, xv), batch_size=64, epochs=12,
                optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))
