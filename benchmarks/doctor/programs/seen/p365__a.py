"""Diffusion on digits (8x8): a small network names the noise, sampling walks back in 40 steps."""
import math

import torch
import torch.nn as nn
from sklearn.datasets import load_digits


class Denoiser(nn.Module):
    def __init__(self, d=64, width=160):
        super().__init__()
        self.register_buffer("freq", 2.0 ** torch.arange(4) * math.pi / 2)
        self.inp = nn.Linear(d + 8, width)
        self.mid = nn.Linear(width + 8, width)
        self.out = nn.Linear(width, d)
        self.act = nn.SiLU()

    def forward(self, x, t):
        angles = t * self.freq
        code = torch.cat([angles.sin(), angles.cos()], 1)
        h = self.act(self.inp(torch.cat([x, code], 1)))
        h = h + self.act(self.mid(torch.cat([h, code], 1)))
        return self.out(h)


def alpha_sigma(t):
    return torch.cos(t * math.pi / 2), torch.sin(t * math.pi / 2)


def objective(network, batch):
    x0 = batch[0]
    t = torch.rand(len(x0), 1)
    a, s = alpha_sigma(t)
    noise = torch.randn_like(x0)
    return (network(a * x0 + s * noise, t) - noise).pow(2).mean()


@torch.no_grad()
def sample(network, n, steps=40):
    x = torch.randn(n, 64, generator=torch.Generator().manual_seed(11))
    times = torch.linspace(0.98, 0.0, steps + 1)
    for now, then in zip(times[:-1], times[1:]):
        a, s = alpha_sigma(now)
        noise = network(x, now.expand(n, 1))
        x0 = ((x - s * noise) / a).clamp(-1, 1)
        a, s = alpha_sigma(then)
        x = a * x0 + s * noise
    return x


def evaluate(network, valid):
    """Minus the energy distance of samples from held-out digits."""
    network.eval()
    x = valid[0]
    g = sample(network, len(x))
    between, among_x, among_g = (torch.cdist(p, q).mean() for p, q in ((x, g), (x, x), (g, g)))
    return -float(2 * between - among_x - among_g)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 8 - 1, dtype=torch.float32), torch.tensor(y)
    net = Denoiser()
    return {"network": net, "objective": objective, "evaluate": evaluate, "train": (x[:1400], y[:1400]), "valid": (x[1400:], y[1400:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 70, "epochs": 60}
