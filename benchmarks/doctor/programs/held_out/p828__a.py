"""A picture as a function: (column, row) -> colour, with sines (SIREN, Sitzmann et al., 2020).

The network learns one picture from half of its pixels and is asked for the other half. OMEGA in front of the first
sine sets how fine the detail is that it can draw; the weights of later layers are drawn smaller by the same factor.
"""
import math

import torch
from torch import nn
from data_dahlia import stamps

OMEGA = 12.0


class Sine(nn.Module):
    def __init__(self, d_in, d_out, first=False):
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)
        bound = 1 / d_in if first else math.sqrt(6 / d_in) / OMEGA
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(OMEGA * self.linear(x))


def picture(number):
    """Pixels with colour on white, and where they stand, from -1 to 1."""
    rgba = torch.tensor(stamps(side=64)[0][number]).float() / 255
    alpha = rgba[..., 3:]
    colour = rgba[..., :3] * alpha + (1 - alpha)
    line = torch.linspace(-1, 1, 64)
    where = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)
    return where.reshape(-1, 2), colour.reshape(-1, 3) * 2 - 1


def build(seed=0):
    torch.manual_seed(seed)
    where, colour = picture(40)
    order = torch.randperm(len(where), generator=torch.Generator().manual_seed(8))
    known, asked = order[:2048], order[2048:]
    last = nn.Linear(64, 3)
    nn.init.uniform_(last.weight, -math.sqrt(6 / 64) / OMEGA, math.sqrt(6 / 64) / OMEGA)
    siren = nn.Sequential(Sine(2, 64, first=True), Sine(64, 64), Sine(64, 64), last)
    return {
        "network": siren,
        "loss": nn.MSELoss(),
        "train": (where[known], colour[known]),
        "valid": (where[asked], colour[asked]),
        "optimizer": torch.optim.Adam(siren.parameters(), lr=4e-4),
        "batch_size": 512,
        "epochs": 150,
    }
