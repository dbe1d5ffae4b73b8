"""Denoising diffusion on 8x8 digits (Ho et al., 2020, without the U-Net)."""
import math

import torch
from sklearn.datasets import load_digits
from torch import nn

STEPS = 100


class NoisePredictor(nn.Module):
    def __init__(self, pixels=64, width=128, time=32):
        super().__init__()
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000.0), time // 2)))
        self.time = nn.Sequential(nn.Linear(time, width), nn.SiLU(), nn.Linear(width, width))
        self.into = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(3)
        )
        self.out = nn.Linear(width, pixels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x, t):
        angle = (t.float() / STEPS).unsqueeze(1) * self.frequencies
        h = self.into(x) + self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        for block in self.blocks:
            h = h + block(h)
        return self.out(h)


class Diffusion:
    """q(x_t | x_0) with a cosine schedule; the objective asks for the noise."""

    def __init__(self):
        t = torch.linspace(0, 1, STEPS + 1)[1:]
        self.signal = torch.cos((t + 0.008) / 1.008 * math.pi / 2).clamp(1e-3, 1)

    def noisy(self, x, t, noise):
        a = self.signal[t].unsqueeze(1)
        return a * x + (1 - a**2).sqrt() * noise

    def __call__(self, network, batch):
        x, _ = batch
        t = torch.randint(STEPS, (len(x),))
        noise = torch.randn_like(x)
        return nn.functional.mse_loss(network(self.noisy(x, t, noise), t), noise)


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(9))
    x, y = x[order], y[order]
    net = NoisePredictor()
    return {
        "network": net,
        "objective": Diffusion(),
        "train": (x[:1500], y[:1500]),
        "valid": (x[1500:], y[1500:]),
        "optimizer": torch.optim.AdamW(net.parameters(), lr=1e-3),
        "batch_size": 75,
        "epochs": 36,
    }
