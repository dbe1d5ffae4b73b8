"""A beta-VAE for digits."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_digits

BETA = 60.0


class VAE(nn.Module):
    def __init__(self, k=6):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.mu, self.logvar = nn.Linear(64, k), nn.Linear(64, k)
        self.dec = nn.Sequential(nn.Linear(k, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + (logvar / 2).exp() * torch.randn_like(mu)
        return self.dec(z), mu, logvar


def objective(network, batch):
    x = batch[0]
    out, mu, logvar = network(x)
    rec = F.binary_cross_entropy_with_logits(out, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum() / len(x)
    return rec + BETA * kl


@torch.no_grad()
def evaluate(network, valid):
    """Share of the pixels' variance that the posterior's mean brings back."""
    network.eval()
    x = valid[0]
    out = torch.sigmoid(network.dec(network.mu(network.enc(x))))
    return 1 - float(((out - x) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(21))]
    net = VAE()
    return {"network": net, "objective": objective, "evaluate": evaluate, "train": (x[:1350], x[:1350]),
            "valid": (x[1350:], x[1350:]), "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 45, "epochs": 15}
