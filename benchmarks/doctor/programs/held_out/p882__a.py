"""Noise2Noise (Lehtinen et al. 2018) on emoji: learn to denoise without ever seeing a clean picture.

Each picture is exposed twice with independent noise; one exposure is the input, the other the target. As the noise has
mean zero, the best answer to the squared error is the clean picture, though the training error cannot fall below the
variance of the noise. We compare with clean pictures at the end.
"""
import numpy as np
import torch
import torch.nn as nn
from data import emoji

SIGMA = 0.35


class Denoiser(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(width, width, 4, stride=2, padding=1), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
                                    nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.last = nn.Conv2d(width + 1, 1, 3, padding=1)

    def forward(self, x):
        h = self.down(x)
        h = torch.relu(self.up(h + self.middle(h)))
        return self.last(torch.cat([h, x], 1))


def expose(clean, generator):
    return clean + SIGMA * torch.randn(clean.shape, generator=generator)


def build(seed=0):
    torch.manual_seed(seed)
    x, _, name = emoji()
    names = np.unique(name)
    held = np.isin(name, np.random.default_rng(1).choice(names, len(names) // 5, replace=False))
    gray = torch.tensor(x[:, ::2, ::2].mean(-1), dtype=torch.float32)[:, None] / 127.5 - 1
    clean, clean_valid = gray[~held][::2], gray[held][::3]
    g = torch.Generator().manual_seed(5)
    net = Denoiser()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    return {"network": net, "loss": nn.MSELoss(), "train": (expose(clean, g), expose(clean, g)),
            "valid": (expose(clean_valid, g), clean_valid), "optimizer": optimizer, "batch_size": 32, "epochs": 8}
