"""Variational autoencoder of daily demand curves (24 hours), to draw new days from."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import power


class CurveVAE(nn.Module):
    def __init__(self, n=24, hidden=48, latent=6):
        super().__init__()
        self.inner = nn.Linear(n, hidden)
        self.mu = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)
        self.outer = nn.Linear(latent, hidden)
        self.curve = nn.Linear(hidden, n)

    def encode(self, x):
        h = torch.tanh(self.inner(x))
        return self.mu(h), self.logvar(h)

    def decode(self, z):
        return self.curve(torch.tanh(self.outer(z)))

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) if self.training else mu
        return self.decode(z), mu, logvar


def elbo(network, batch):
    x, _ = batch
    recon, mu, logvar = network(x)
    mse = 0.5 * F.mse_loss(recon, x) / 0.1
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return mse + kld


def evaluate(network, valid):
    """Share of the variance that the reconstruction explains."""
    network.eval()
    with torch.no_grad():
        x = valid[0]
        return 1 - float(F.mse_loss(network(x)[0], x) / F.mse_loss(x.mean(0).expand_as(x), x))


def build(seed=0):
    torch.manual_seed(seed)
    _, _, x, _ = power()
    x = torch.tensor(x)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(5))]
    mean, std = x[:800].mean(0), x[:800].std()
    x = (x - mean) / std
    net = CurveVAE()
    return dict(network=net, objective=elbo, train=(x[:800], x[:800]), valid=(x[800:], x[800:]), evaluate=evaluate,
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), batch_size=40, epochs=40)
