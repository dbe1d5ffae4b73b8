"""DCGAN-style training on 8x8 digits (scikit-learn's), fully connected."""
from functools import partial

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits

NZ = 12
REAL_LABEL, FAKE_LABEL = 0.9, 0.0


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(NZ, 64), nn.BatchNorm1d(64), nn.ReLU(True),
            nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(True),
            nn.Linear(128, 64), nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(64, 96), nn.LeakyReLU(0.2), nn.Dropout(0.3),
            nn.Linear(96, 48), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(48, 1),
        )

    def forward(self, x):
        return self.main(x).view(-1)


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.netG, self.netD = Generator(), Discriminator()

    def forward(self, x):
        return self.netD(x)


def step(gan, batch, optimizer_g, loss, optimizer_d):
    real = batch[0]
    n = real.size(0)
    label = torch.full((n,), REAL_LABEL)

    # (1) update D
    optimizer_d.zero_grad()
    err_real = loss(gan.netD(real), label)
    err_real.backward()
    fake = gan.netG(torch.randn(n, NZ))
    label.fill_(FAKE_LABEL)
    err_fake = loss(gan.netD(fake.detach()), label)
    err_fake.backward()
    optimizer_d.step()

    # (2) update G
    optimizer_g.zero_grad()
    err_g = loss(gan.netD(fake), label)
    err_g.backward()
    optimizer_g.step()
    return float(err_real + err_fake), float(err_g)


@torch.no_grad()
def evaluate(gan, valid):
    """Minus the energy distance between generated digits and held-out ones."""
    gan.eval()
    real = valid[0]
    fake = gan.netG(torch.randn(len(real), NZ, generator=torch.Generator().manual_seed(0)))
    far = torch.cdist
    return float(far(real, real).mean() + far(fake, fake).mean() - 2 * far(real, fake).mean())


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data.astype(np.float32)) / 8 - 1
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(42))]
    gan = GAN()
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))
    optimizer_d, optimizer_g = adam(gan.netD.parameters()), adam(gan.netG.parameters())
    train, valid = x[:1400], x[1400:]
    return {"network": gan, "loss": nn.BCEWithLogitsLoss(), "step": partial(step, optimizer_d=optimizer_d),
            "train": (train, torch.full((len(train),), REAL_LABEL)), "valid": (valid, torch.full((len(valid),), REAL_LABEL)),
            "optimizer": optimizer_g, "evaluate": evaluate, "batch_size": 50, "epochs": 25}
