"""Denoise patches of a photograph with an encoder and a decoder."""
import numpy as np
import torch
from torch import nn

from data_east import photo

SIDE, CODE, NOISE = 12, 40, 0.15


def patches(image, n, rng):
    i = rng.integers(0, image.shape[0] - SIDE, n)
    j = rng.integers(0, image.shape[1] - SIDE, n)
    return torch.from_numpy(np.stack([image[a : a + SIDE, b : b + SIDE].ravel() for a, b in zip(i, j)]))


def mlp(*widths):
    layers = []
    for a, b in zip(widths[:-1], widths[1:]):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers[:-1])


class Denoiser(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, dirty):
        return self.decoder(self.encoder(dirty))


def build(seed=0):
    torch.manual_seed(seed)
    rng = np.random.default_rng(0)
    image = photo("camera")
    left, right = image[:, :400], image[:, 400:]
    mean, std = float(left.mean()), float(left.std())
    clean, clean_valid = ((patches(p, n, rng) - mean) / std for p, n in ((left, 4000), (right, 800)))
    noise = torch.Generator().manual_seed(1)
    dirty, dirty_valid = (c + NOISE * torch.randn(c.shape, generator=noise) for c in (clean, clean_valid))

    encoder = mlp(SIDE * SIDE, 160, CODE)
    decoder = mlp(CODE, 160, SIDE * SIDE)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-3)
    return {
        "network": Denoiser(encoder, decoder),
        "loss": nn.MSELoss(),
        "train": (dirty, clean),
        "valid": (dirty_valid, clean_valid),
        "optimizer": optimizer,
        "batch_size": 64,
        "epochs": 22,
    }
