"""A GAN that draws 8x8 digits, all layers dense."""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits

bce = nn.BCEWithLogitsLoss()
NOISE = 12


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(
            nn.Linear(NOISE, 64), nn.BatchNorm1d(64), nn.ReLU(),
            nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(),
            nn.Linear(96, 64), nn.Sigmoid(),
        )
        self.discriminator = nn.Sequential(
            nn.Linear(64, 96), nn.LeakyReLU(0.2), nn.Dropout(0.2),
            nn.Linear(96, 32), nn.LeakyReLU(0.2),
            nn.Linear(32, 1),
        )

    def forward(self, z):
        return self.generator(z)


def generator_loss(network, batch):
    z = torch.randn(len(batch[0]), NOISE)
    score = network.discriminator(network.generator(z))
    return bce(score, torch.ones_like(score))


def make_step(d_optimizer):
    def step(network, batch, optimizer, objective):
        real = batch[0]
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        fake = network.generator(torch.randn(len(real), NOISE)).detach()

        d_optimizer.zero_grad()
        d_loss = bce(network.discriminator(real), 0.9 * ones) + bce(network.discriminator(fake.detach()), zeros)
        d_loss.backward()
        d_optimizer.step()

        optimizer.zero_grad()
        g_loss = bce(network.discriminator(fake), ones)
        g_loss.backward()
        optimizer.step()

    return step


def evaluate(network, valid):
    """Minus the energy distance between drawings and real digits."""
    network.eval()
    real = valid[0]
    with torch.no_grad():
        z = torch.randn(len(real), NOISE, generator=torch.Generator().manual_seed(123))
        fake = network(z)
    n = len(real)
    within = lambda a: torch.cdist(a, a).sum() / (n * (n - 1))
    return -(2 * torch.cdist(real, fake).mean() - within(real) - within(fake)).item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(7))
    x, y = x[order], y[order]
    network = GAN()
    adam = lambda module: torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.5, 0.999))
    return {"network": network, "objective": generator_loss, "train": (x[:1300], y[:1300]),
            "valid": (x[1300:], y[1300:]), "optimizer": adam(network.generator), "batch_size": 50, "epochs": 24,
            "step": make_step(adam(network.discriminator)), "evaluate": evaluate}
