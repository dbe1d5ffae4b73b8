"""Synthetic rows for a table of satellite measurements, with the loop of the DCGAN tutorial.

Score: how near the drawn rows come to the held-out ones (minus the energy distance).
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import table

nz = 16
real_label, fake_label = 1.0, 0.0


class Rows(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.netG = nn.Sequential(nn.Linear(nz, 64), nn.LeakyReLU(0.1), nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Linear(64, n))
        self.netD = nn.Sequential(nn.Linear(n, 64), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2),
                                  nn.Linear(64, 1))

    def forward(self, noise):
        return self.netG(noise)


def generator_loss(net, batch):
    output = net.netD(net.netG(torch.randn(len(batch[0]), nz)))
    return F.binary_cross_entropy_with_logits(output, torch.full_like(output, real_label))


def energy_distance(net, valid):
    net.eval()
    with torch.no_grad():
        real = valid[0][:500]
        fake = net(torch.randn(500, nz, generator=torch.Generator().manual_seed(0)))
        return -(2 * torch.cdist(real, fake).mean() - torch.cdist(real, real).mean() - torch.cdist(fake, fake).mean()).item()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Satellite")
    y = torch.tensor(df.pop("classes").astype("category").cat.codes.to_numpy(), dtype=torch.long)
    x = torch.tensor(df.to_numpy(), dtype=torch.float32)
    x = (x - x[:4435].mean(0)) / x[:4435].std(0)
    net = Rows(x.shape[1])
    optimizerD = torch.optim.Adam(net.netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizerG = torch.optim.Adam(net.netG.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def step(net, batch, optimizer, objective):
        data = batch[0]
        # (1) update D
        net.netD.zero_grad()
        output = net.netD(data)
        errD_real = F.binary_cross_entropy_with_logits(output, torch.full_like(output, real_label))
        errD_real.backward()
        fake = net.netG(torch.randn(len(data), nz))
        output = net.netD(fake.detach())
        errD_fake = F.binary_cross_entropy_with_logits(output, torch.full_like(output, fake_label))
        optimizerD.step()
        # (2) update G
        net.netG.zero_grad()
        errG = objective(net, batch)
        errG.backward()
        optimizer.step()
        return (errD_real + errD_fake).item(), errG.item()

    return {"network": net, "objective": generator_loss, "step": step, "evaluate": energy_distance, "optimizer": optimizerG,
            "train": (x[:4435], y[:4435]), "valid": (x[4435:], y[4435:]), "batch_size": 64, "epochs": 10}
