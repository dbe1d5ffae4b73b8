"""A little class-conditional DDPM for 8 x 8 digits (after "The Annotated Diffusion Model", without the U-Net)."""
import math

import torch
import torch.nn.functional as F
from data_cedar import small_digits
from torch import nn

T = 100
betas = torch.linspace(1e-3, 0.08, T)
alphas_cumprod = torch.cumprod(1 - betas, dim=0)


def timestep_embedding(t, dim=32):
    freqs = torch.exp(-math.log(1000) * torch.arange(dim // 2) / (dim // 2))
    args = t[:, None].float() * freqs
    return torch.cat([args.sin(), args.cos()], dim=1)


def q_sample(x_start, t, noise=None):
    if noise is None:
        noise = torch.randn_like(x_start)
    a = alphas_cumprod[t][:, None]
    return a.sqrt() * x_start + (1 - a).sqrt() * noise


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.cond = nn.Linear(64, width)
        self.ff = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, h, c):
        return h + self.ff(self.norm(h) + self.cond(c))


class Denoiser(nn.Module):
    def __init__(self, width=192, depth=3, classes=10):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64))
        self.label = nn.Embedding(classes, 64)
        self.inp = nn.Linear(64, width)
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64))

    def forward(self, x, t, y):
        c = F.silu(self.time(timestep_embedding(t)) + self.label(y))
        h = self.inp(x)
        for block in self.blocks:
            h = block(h, c)
        return self.out(h)


def p_losses(model, batch):
    x_start, y = batch
    t = torch.randint(0, T, (len(x_start),))
    noise = torch.randn_like(x_start)
    x_noisy = q_sample(x_start, t, noise)
    return F.mse_loss(model(x_noisy, t, y), noise)


@torch.no_grad()
def evaluate(model, valid):
    # every step of the chain is asked about, with the same noise each time this is called
    model.eval()
    x, y = valid
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(x.shape, generator=g)
    t = torch.arange(len(x)) % T
    return -F.mse_loss(model(q_sample(x, t, noise), t, y), noise).item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = small_digits()
    x, xv = (torch.tensor(a).flatten(1).float() / 8 - 1 for a in (x, xv))
    model = Denoiser()
    return {
        "network": model,
        "objective": p_losses,
        "train": (x, torch.tensor(y)),
        "valid": (xv, torch.tensor(yv)),
        "evaluate": evaluate,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4),
        "batch_size": 64,
        "epochs": 25,
    }
