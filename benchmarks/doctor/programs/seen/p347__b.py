"""VAE on handwritten digits (8x8) with torch.distributions."""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.distributions import Bernoulli, Normal, kl_divergence


class VAE(nn.Module):
    def __init__(self, n_latent=6):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 96), nn.Tanh())
        self.loc, self.log_scale = nn.Linear(96, n_latent), nn.Linear(96, n_latent)
        self.dec = nn.Sequential(nn.Linear(n_latent, 96), nn.Tanh(), nn.Linear(96, 64))

    def posterior(self, x):
        h = self.enc(x)
        return Normal(self.loc(h), self.log_scale(h).clamp(-5, 3).exp())

    def forward(self, x):
        q = self.posterior(x)
        z = q.sample() if self.training else q.mean
        return Bernoulli(logits=self.dec(z), validate_args=False), q


def negative_elbo(network, batch):
    x, _ = batch
    p, q = network(x)
    prior = Normal(torch.zeros_like(q.loc), torch.ones_like(q.scale))
    reconstruction = -p.log_prob(x).sum(1)
    return (reconstruction + kl_divergence(q, prior).sum(1)).mean()


def evaluate(network, valid):
    network.eval()
    with torch.no_grad():
        return -negative_elbo(network, valid).item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(7))
    x, y = x[order], y[order]
    vae = VAE()
    return dict(network=vae, objective=negative_elbo, evaluate=evaluate, train=(x[:1400], y[:1400]), valid=(x[1400:], y[1400:]),
                optimizer=torch.optim.Adam(vae.parameters(), lr=2e-3), batch_size=50, epochs=25)
