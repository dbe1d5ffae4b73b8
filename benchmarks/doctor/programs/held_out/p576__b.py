"""A GAN for handwritten digits of 8 x 8 pixels, DCGAN recipe in miniature (fully connected)."""
import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

from data_west import digits8

NOISE = 12


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.G = nn.Sequential(nn.Linear(NOISE, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(),
                               nn.Linear(64, 64), nn.Tanh())
        self.D = nn.Sequential(nn.Linear(64, 96), nn.LeakyReLU(0.2), nn.Linear(96, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))

    def forward(self, z):
        return self.G(z)


class Trainer:
    def __init__(self, gan):
        self.opt_g = torch.optim.Adam(gan.G.parameters(), lr=1e-3, betas=(0.5, 0.999))
        self.opt_d = torch.optim.Adam(gan.D.parameters(), lr=5e-4, betas=(0.5, 0.999))

    def step(self, gan, batch, optimizer, loss):
        real = batch[0]
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        fake = gan.G(torch.randn(len(real), NOISE))

        d_loss = loss(gan.D(real), ones) + loss(gan.D(fake.detach()), zeros)
        d_loss.backward()
        self.opt_d.step()

        self.opt_g.zero_grad()
        g_loss = loss(gan.D(fake), ones)
        g_loss.backward()
        self.opt_g.step()


@torch.no_grad()
def evaluate(gan, valid):
    """Negative energy distance between 600 drawn digits and the test digits."""
    gan.eval()
    real = valid[0][:600]
    fake = gan(torch.randn(600, NOISE, generator=torch.Generator().manual_seed(1)))
    return -(2 * torch.cdist(real, fake).mean() - torch.cdist(real, real).mean() - torch.cdist(fake, fake).mean()).item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = digits8()
    scale = lambda a: torch.from_numpy(a.reshape(-1, 64).astype(np.float32)) / 8 - 1
    gan = GAN()
    trainer = Trainer(gan)
    return {
        "network": gan,
        "loss": F.binary_cross_entropy_with_logits,
        "optimizer": trainer.opt_g,
        "step": trainer.step,
        "evaluate": evaluate,
        "train": (scale(x), torch.from_numpy(y)),
        "valid": (scale(xt), torch.from_numpy(yt)),
        "batch_size": 64,
        "epochs": 12,
    }
