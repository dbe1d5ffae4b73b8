"""A GAN for 8x8 digits. Score: minus the Frechet distance between pixel statistics of real and generated digits."""
import numpy as np
import torch
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits
from torch import nn

LATENT = 16


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.G = nn.Sequential(nn.Linear(LATENT, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64), nn.Tanh())
        self.D = nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, z):
        return self.G(z)


class Trainer:
    def __init__(self, gan):
        self.opt_d = torch.optim.Adam(gan.D.parameters(), lr=1e-3, betas=(0.5, 0.999))
        self.opt_g = torch.optim.Adam(gan.G.parameters(), lr=1e-3, betas=(0.5, 0.999))
        self.bce = nn.BCEWithLogitsLoss()

    def step(self, gan, batch, optimizer, loss):
        real = batch[0]
        n = len(real)
        ones, zeros = torch.ones(n, 1), torch.zeros(n, 1)
        fake = gan.G(torch.randn(n, LATENT))

        # discriminator
        d_loss = self.bce(gan.D(real), ones) + self.bce(gan.D(fake.detach()), zeros)
        d_loss.backward()
        self.opt_d.step()

        # generator
        self.opt_g.zero_grad()
        g_loss = self.bce(gan.D(fake), ones)
        g_loss.backward()
        self.opt_g.step()
        return d_loss.item(), g_loss.item()


def gan_loss(gan, batch):
    fake = gan.G(torch.randn(len(batch[0]), LATENT))
    return nn.functional.softplus(-gan.D(fake)).mean()


def frechet(gan, valid):
    gan.eval()
    real = valid[0].numpy()
    with torch.no_grad():
        fake = gan(torch.randn(1000, LATENT, generator=torch.Generator().manual_seed(5))).numpy()
    gap = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    a, b = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = sqrtm(a @ b + 1e-6 * np.eye(64)).real
    return -float(gap + np.trace(a + b - 2 * root))


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
    y = torch.tensor(load_digits().target)
    gan = GAN()
    trainer = Trainer(gan)
    return {"network": gan, "objective": gan_loss, "step": trainer.step, "evaluate": frechet, "train": (x[:1300], y[:1300]),
            "valid": (x[1300:], y[1300:]), "optimizer": trainer.opt_g, "batch_size": 64, "epochs": 60}
