"""Variational autoencoder, fashion pictures at 14x14."""
import torch
import torch.nn.functional as F
from torch import nn
from data import fashion


class VAE(nn.Module):
    def __init__(self, d=196, h=96, k=8):
        super().__init__()
        self.enc = nn.Linear(d, h)
        self.mu, self.logvar = nn.Linear(h, k), nn.Linear(h, k)
        self.dec1, self.dec2 = nn.Linear(k, h), nn.Linear(h, d)

    def forward(self, x):
        h = torch.relu(self.enc(x))
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu) if self.training else mu
        return self.dec2(torch.relu(self.dec1(z))), mu, logvar


def objective(network, batch):
    x = batch[0]
    logits, mu, logvar = network(x)
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
    return (rec + kl).mean()


@torch.no_grad()
def evaluate(network, valid):
    """Reconstruction of latents drawn from the posterior, and their distance to the prior (nats a picture)."""
    network.eval()
    x = valid[0]
    logits, mu, logvar = network(x)
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    return -float((rec + kl).mean())


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = fashion(2000, 500)
    x, xv = (F.avg_pool2d(torch.tensor(a).float()[:, None] / 255, 2).flatten(1) for a in (x, xv))
    model = VAE()
    return {"network": model, "objective": objective, "train": (x, x), "valid": (xv, xv), "evaluate": evaluate,
            "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3), "batch_size": 50, "epochs": 8}
