"""How does gradient descent find principal components?  (a figure for the lecture)

A linear encoder and a linear decoder; the loss falls in stairs, one for each component.
"""
import torch
from sklearn.datasets import load_digits
from torch import nn

COMPONENTS = 8


class LinearAutoencoder(nn.Module):
    def __init__(self, pixels, k, scale):
        super().__init__()
        self.encode = nn.Linear(pixels, k, bias=False)
        self.decode = nn.Linear(k, pixels, bias=False)
        for layer in (self.encode, self.decode):
            nn.init.normal_(layer.weight, std=scale)

    def forward(self, x):
        return self.decode(self.encode(x))


def half_squared_error(output, target):
    return 0.5 * (output - target).square().sum(1).mean()


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    centre = x[:1400].mean(0)
    x = x - centre
    net = LinearAutoencoder(64, COMPONENTS, scale=1e-3)
    return {"network": net, "loss": half_squared_error, "train": (x[:1400], x[:1400]), "valid": (x[1400:], x[1400:]),
            "optimizer": torch.optim.SGD(net.parameters(), lr=0.04), "batch_size": 70, "epochs": 60}
