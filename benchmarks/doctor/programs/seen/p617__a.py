"""By how much was the digit turned?  Regression of an angle with a small CNN (after a MATLAB example)."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from data import mnist


def turn(images, degrees):
    rad = degrees * math.pi / 180
    zero = torch.zeros_like(rad)
    theta = torch.stack([torch.stack([rad.cos(), -rad.sin(), zero], 1), torch.stack([rad.sin(), rad.cos(), zero], 1)], 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def angle_data(images, labels, seed):
    chosen = (labels == 3) | (labels == 4) | (labels == 7)
    x = F.avg_pool2d(torch.from_numpy(images[chosen]).float().unsqueeze(1) / 255, 2)
    degrees = (torch.rand(len(x), generator=torch.Generator().manual_seed(seed)) - 0.5) * 90
    return TensorDataset(turn(x, degrees), degrees / 26)


class AngleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(),
            nn.Flatten(), nn.Linear(24 * 49, 1),
        )

    def forward(self, x):
        return self.layers(x)


class RegressionLoss(nn.Module):
    """Half the mean squared error."""

    def forward(self, response, target):
        return 0.5 * (response - target).pow(2).mean()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(5000, 1500)
    net = AngleNet()
    return {
        "network": net,
        "loss": RegressionLoss(),
        "train": DataLoader(angle_data(x, y, 1), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(seed)),
        "valid": DataLoader(angle_data(xv, yv, 2), batch_size=100),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
        "batch_size": 32,
        "epochs": 8,
    }
