"""Autoencoder from scratch: own weights and biases, no nn.Linear (exercise 4).

8x8 digits -> 40 -> 10 -> 40 -> 8x8.
"""
import torch
from sklearn.datasets import load_digits
from torch import nn


class Affine(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.W = nn.Parameter(torch.randn(fan_in, fan_out))
        self.b = nn.Parameter(torch.zeros(fan_out))

    def forward(self, x):
        return x @ self.W + self.b


class Autoencoder(nn.Module):
    def __init__(self, widths=(64, 40, 10, 40, 64)):
        super().__init__()
        self.steps = nn.ModuleList(Affine(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x):
        for affine in self.steps[:-1]:
            x = torch.tanh(affine(x))
        return self.steps[-1](x)


def squared_error(xhat, x):
    return (xhat - x).pow(2).sum(dim=1).mean()


def build(seed=0):
    torch.manual_seed(seed)
    digits = torch.from_numpy(load_digits().data).float() / 16
    digits = digits[torch.randperm(len(digits), generator=torch.Generator().manual_seed(3))]
    mean = digits[:1400].mean(0)
    x = digits - mean
    model = Autoencoder()
    return dict(
        network=model,
        loss=squared_error,
        train=(x[:1400], x[:1400]),
        valid=(x[1400:], x[1400:]),
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        batch_size=28,
        epochs=25,
    )
