"""Convolutional denoising autoencoder with tied kernels, small grey photographs."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import cifar

NOISE = 0.25


class TiedConvAutoencoder(nn.Module):
    def __init__(self, c1=16, c2=24):
        super().__init__()
        self.k1 = nn.Parameter(torch.empty(c1, 1, 4, 4))
        self.k2 = nn.Parameter(torch.empty(c2, c1, 3, 3))
        for k in (self.k1, self.k2):
            nn.init.orthogonal_(k.flatten(1), gain=0.7)
        self.b2 = nn.Parameter(torch.zeros(c2))
        self.b1 = nn.Parameter(torch.zeros(c1))
        self.b0 = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        if self.training:
            x = x + NOISE * torch.randn_like(x)
        h = F.leaky_relu(F.conv2d(x, self.k1, stride=2, padding=1), 0.1)
        h = F.leaky_relu(F.conv2d(h, self.k2, self.b2, stride=1, padding=1), 0.1)
        h = F.leaky_relu(F.conv_transpose2d(h, self.k2, self.b1, stride=1, padding=1), 0.1)
        return F.conv_transpose2d(h, self.k1, self.b0, stride=2, padding=1)


def grey(pictures):
    x = torch.from_numpy(pictures.astype(np.float32).mean(-1)).unsqueeze(1)
    return F.avg_pool2d(x, 2) / 64 - 2


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = cifar(1500, 400)
    x, xv = grey(x), grey(xv)
    net = TiedConvAutoencoder()
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": (x, x.clone()),
        "valid": (xv, xv.clone()),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
        "batch_size": 25,
        "epochs": 10,
    }
