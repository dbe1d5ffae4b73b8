"""Eights and threes from noise: a GAN on the digits of scikit-learn."""
import torch
from torch import nn
from sklearn.datasets import load_digits

LATENT = 16


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(LATENT, 96), nn.ReLU(True), nn.Linear(96, 96), nn.ReLU(True), nn.Linear(96, 64), nn.Tanh())

    def forward(self, z):
        return self.net(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 96), nn.LeakyReLU(0.2, True), nn.Dropout(0.3), nn.Linear(96, 1), nn.Sigmoid())

    def forward(self, x):
        return self.net(x).squeeze(1)


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = Generator(), Discriminator()

    def forward(self, x):
        return self.discriminator(x)


def prepare(x):
    return torch.tensor(x, dtype=torch.float32)


@torch.no_grad()
def evaluate(network, valid):
    """How far the mean picture and the spread of each pixel are from the true ones (share of the spread there is)."""
    network.eval()
    x = valid[0]
    fake = network.generator(torch.randn(1000, LATENT, generator=torch.Generator().manual_seed(0)))
    gap = (fake.mean(0) - x.mean(0)).square().sum() + (fake.std(0) - x.std(0)).square().sum()
    return -float(gap / x.var(0).sum())


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    keep = (y == 3) | (y == 8)
    x, y = prepare(x[keep]), torch.tensor(y[keep])
    gan = GAN()
    optimizers = {
        "g": torch.optim.Adam(gan.generator.parameters(), lr=5e-4, betas=(0.5, 0.999)),
        "d": torch.optim.Adam(gan.discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999)),
    }
    bce = nn.BCELoss()

    def discriminator_loss(network, batch):
        real = batch[0]
        fake = network.generator(torch.randn(len(real), LATENT)).detach()
        return bce(network(real), torch.full((len(real),), 0.9)) + bce(network(fake), torch.zeros(len(real)))

    def step(network, batch, optimizer, loss):
        optimizers["d"].zero_grad()
        loss_d = loss(network, batch)
        loss_d.backward()
        optimizers["d"].step()
        optimizers["g"].zero_grad()
        verdict = network(network.generator(torch.randn(len(batch[0]), LATENT)))
        bce(verdict, torch.ones(len(verdict))).backward()
        optimizers["g"].step()
        return loss_d.detach()

    return {"network": gan, "objective": discriminator_loss, "step": step, "evaluate": evaluate, "train": (x[:280], y[:280]),
            "valid": (x[280:], y[280:]), "optimizer": optimizers["d"], "batch_size": 28, "epochs": 60}
