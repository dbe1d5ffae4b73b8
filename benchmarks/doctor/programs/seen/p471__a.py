"""A GAN with hinge loss and spectral normalization on 8x8 digits, conditional on the digit."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.nn.utils.parametrizations import spectral_norm

Z = 12


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 10)
        self.net = nn.Sequential(nn.Linear(Z + 10, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 128), nn.BatchNorm1d(128),
                                 nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())

    def forward(self, z, label):
        return self.net(torch.cat([z, self.embed(label)], dim=1))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(spectral_norm(nn.Linear(64, 128)), nn.LeakyReLU(0.1), spectral_norm(nn.Linear(128, 128)), nn.LeakyReLU(0.1))
        self.score = spectral_norm(nn.Linear(128, 1))
        self.project = nn.Embedding(10, 128)

    def forward(self, x, label):
        h = self.body(x)
        return self.score(h).squeeze(1) + (h * self.project(label)).sum(dim=1)


class HingeGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = Generator()
        self.discriminator = Discriminator()
        self.opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=2e-3, betas=(0.0, 0.9))
        self.turn = 0

    def forward(self, label):
        return self.generator(torch.randn(len(label), Z), label)


def objective(gan, batch):
    _, label = batch
    return -gan.discriminator(gan(label), label).mean()


def step(gan, batch, opt_g, loss):
    real, label = batch
    with torch.no_grad():
        fake = gan(label)
    gan.opt_d.zero_grad()
    d_loss = F.relu(1 - gan.discriminator(real, label)).mean() + F.relu(1 + gan.discriminator(fake, label)).mean()
    d_loss.backward()
    gan.opt_d.step()
    gan.turn += 1
    if gan.turn % 2 == 0:
        opt_g.zero_grad()
        loss(gan, batch).backward()
        opt_g.step()
    return d_loss.item()


def evaluate(gan, valid):
    """Minus the squared distance between means and between spreads of real and generated pixels, by digit."""
    gan.eval()
    real, label = valid
    total = 0.0
    with torch.no_grad():
        for digit in range(10):
            want = real[label == digit]
            got = gan(torch.full((300,), digit))
            total += ((want.mean(0) - got.mean(0)) ** 2).sum().item() + ((want.std(0) - got.std(0)) ** 2).sum().item()
    return -total / 10


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    gan = HingeGAN()
    opt_g = torch.optim.Adam(gan.generator.parameters(), lr=1e-3, betas=(0.0, 0.9))
    return {"network": gan, "objective": objective, "step": step, "evaluate": evaluate, "train": (x[:1200], y[:1200]),
            "valid": (x[1200:], y[1200:]), "optimizer": opt_g, "batch_size": 60, "epochs": 30}
