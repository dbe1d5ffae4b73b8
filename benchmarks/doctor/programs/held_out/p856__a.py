'''
GAN on 8x8 digits
-----------------
Question style: vanilla GAN, BCE, Adam for both. Fakes are judged by how far their pixel means and covariances
are from those of held-out digits (the lower the better, so I return the negative).
'''
import torch
from torch import nn
from sklearn.datasets import load_digits

LATENT = 16

class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.G = nn.Sequential(nn.Linear(LATENT, 96), nn.BatchNorm1d(96), nn.ReLU(),
                               nn.Linear(96, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 64), nn.Tanh())
        self.D = nn.Sequential(nn.Linear(64, 96), nn.LeakyReLU(0.2), nn.Dropout(0.2),
                               nn.Linear(96, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))

    def forward(self, z):
        return self.G(z)

bce = nn.BCEWithLogitsLoss()

def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    gan = GAN()
    opt_d = torch.optim.Adam(gan.D.parameters(), lr=1e-3, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(gan.G.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def generator_loss(net, batch):
        z = torch.randn(len(batch[0]), LATENT)
        return bce(net.D(net.G(z)), torch.ones(len(z), 1))

    def train_step(net, batch, optimizer, objective):
        real = batch[0]
        n = len(real)
        fake = net.G(torch.randn(n, LATENT)).detach()
        opt_d.zero_grad()
        d_loss = bce(net.D(real), torch.full((n, 1), 0.9)) + bce(net.D(fake), torch.zeros(n, 1))
        d_loss.backward()
        opt_d.step()

        optimizer.zero_grad()
        g_loss = objective(net, batch)
        g_loss.backward()
        optimizer.step()

    def quality(net, valid):
        net.eval()
        with torch.no_grad():
            fake = net.G(torch.randn(800, LATENT, generator=torch.Generator().manual_seed(3)))
        real = valid[0]
        return -float(((fake.mean(0) - real.mean(0)) ** 2).sum() + ((torch.cov(fake.T) - torch.cov(real.T)) ** 2).sum())

    return {"network": gan, "objective": generator_loss, "step": train_step, "optimizer": opt_g, "evaluate": quality,
            "train": (x[:1400], x[:1400]), "valid": (x[1400:], x[1400:]), "batch_size": 50, "epochs": 30}
