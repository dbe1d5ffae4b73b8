"""Digits through three layers of tanh, very small weights at the start: nothing seems to happen, then everything does."""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class SmallStart(nn.Module):
    """From small weights the loss moves in steps (Saxe et al. 2014)."""

    def __init__(self, widths, scale):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in zip(widths, widths[1:]))
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight, gain=scale)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.layers[-1](x)


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor((X - 4.9) / 6.0).float()
    Xa, Xb, ya, yb = train_test_split(X, torch.tensor(y), test_size=0.25, random_state=40)
    net = SmallStart([64, 64, 64, 10], scale=0.08)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (Xa, ya), "valid": (Xb, yb),
            "optimizer": torch.optim.SGD(net.parameters(), lr=0.05), "batch_size": 20, "epochs": 42}
