"""A small VAE on 8 x 8 digits, after the PyTorch example."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from data_cedar import small_digits


class VAE(nn.Module):
    def __init__(self, n_in=64, hidden=128, latent=8):
        super().__init__()
        self.fc1 = nn.Linear(n_in, hidden)
        self.fc_mu = nn.Linear(hidden, latent)
        self.fc_logvar = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, n_in)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.fc_mu(h), self.fc_logvar(h)

    def decode(self, z):
        return self.fc4(F.relu(self.fc3(z)))

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return self.decode(z), mu, logvar


def negative_elbo(network, batch):
    x, _ = batch
    logits, mu, logvar = network(x)
    bce = F.binary_cross_entropy_with_logits(logits, x)
    kld = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()
    return bce + kld


def explained(network, valid):
    """Share of the pixels' variance that the decoded posterior mean explains."""
    network.eval()
    with torch.no_grad():
        x = valid[0]
        again = torch.sigmoid(network.decode(network.encode(x)[0]))
    return 1 - float((x - again).square().sum() / (x - x.mean(0)).square().sum())


def build(seed=0):
    torch.manual_seed(seed)
    x, y, x_test, y_test = small_digits()
    x, x_test = (torch.from_numpy(a.reshape(-1, 64).astype(np.float32) / 16) for a in (x, x_test))
    net = VAE()
    return {
        "network": net,
        "objective": negative_elbo,
        "evaluate": explained,
        "train": (x, torch.from_numpy(y)),
        "valid": (x_test, torch.from_numpy(y_test)),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 25,
    }
