"""Wasserstein GAN (Arjovsky et al., 2017) with weight clipping, 8x8 digits."""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits

nz = 16
n_critic = 3
clip_value = 0.03


class WGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.netG = nn.Sequential(
            nn.Linear(nz, 96), nn.BatchNorm1d(96), nn.ReLU(True),
            nn.Linear(96, 96), nn.BatchNorm1d(96), nn.ReLU(True),
            nn.Linear(96, 64), nn.Tanh(),
        )
        self.netD = nn.Sequential(nn.Linear(64, 96), nn.LeakyReLU(0.2, True), nn.Linear(96, 96), nn.LeakyReLU(0.2, True), nn.Linear(96, 1))
        self.optD = torch.optim.RMSprop(self.netD.parameters(), lr=1e-3)
        self.optG = torch.optim.RMSprop(self.netG.parameters(), lr=1e-3)
        self.count = 0

    def forward(self, z):
        return self.netG(z)


def critic_loss(model, batch):
    real = batch[0]
    fake = model(torch.randn(len(real), nz)).detach()
    return model.netD(fake).mean() - model.netD(real).mean()


def train_step(model, batch, optimizer, loss):
    model.optD.zero_grad()
    errD = loss(model, batch)
    errD.backward()
    model.optD.step()
    with torch.no_grad():
        for p in model.netD.parameters():
            p.clamp_(-clip_value, clip_value)

    model.count += 1
    if model.count % n_critic == 0:
        optimizer.zero_grad()
        fake = model(torch.randn(len(batch[0]), nz))
        errG = -model.netD(fake).mean()
        errG.backward()
        optimizer.step()
    return errD.item()


def evaluate(model, valid):
    """Minus the distance of pixel means and spreads between samples and held-out digits."""
    model.eval()
    gen = torch.Generator().manual_seed(123)
    with torch.no_grad():
        fake = model(torch.randn(500, nz, generator=gen))
    real = valid[0]
    return -(fake.mean(0) - real.mean(0)).norm().item() - (fake.std(0) - real.std(0)).norm().item()


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
    ones = torch.ones(len(x))
    model = WGAN()
    return {"network": model, "objective": critic_loss, "step": train_step, "evaluate": evaluate, "optimizer": model.optG,
            "train": (x[:1400], ones[:1400]), "valid": (x[1400:], ones[1400:]), "batch_size": 50, "epochs": 40}
