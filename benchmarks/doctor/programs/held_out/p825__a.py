"""Random Fourier features (Rahimi and Recht, 2007) for eleven English vowels.

The first layer is drawn once and stays as it is: its cosines approximate a Gaussian kernel of width SIGMA. Only the
linear map on top is learned, which is a convex problem. Every feature is of size sqrt(2 / D), hence the step size.
"""
import math

import torch
from torch import nn
from data import table

D = 800
SIGMA = 3.0


class FourierFeatures(nn.Module):
    def __init__(self, d_in, d_out, sigma):
        super().__init__()
        self.project = nn.Linear(d_in, d_out)
        nn.init.normal_(self.project.weight, std=1 / sigma)
        nn.init.uniform_(self.project.bias, 0, 2 * math.pi)
        self.project.requires_grad_(False)
        self.scale = math.sqrt(2 / d_out)

    def forward(self, x):
        return self.scale * torch.cos(self.project(x))


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("Vowel").sample(frac=1.0, random_state=3)
    y = torch.tensor(frame["Class"].astype("category").cat.codes.to_numpy()).long()
    x = torch.tensor(frame[[f"V{i}" for i in range(2, 11)]].to_numpy()).float()
    train, valid = slice(0, 700), slice(700, None)
    mean, std = x[train].mean(0), x[train].std(0)
    x = (x - mean) / std
    head = nn.Linear(D, 11)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model = nn.Sequential(FourierFeatures(9, D, SIGMA), head)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": (x[train], y[train]),
        "valid": (x[valid], y[valid]),
        "optimizer": torch.optim.SGD(head.parameters(), lr=10.0, momentum=0.9),
        "batch_size": 70,
        "epochs": 60,
    }
