"""Optical digits, all layers batch-normalized. With normalization the rate may be large."""
import torch
from sklearn.datasets import load_digits
from torch import nn


def layer(a, b):
    return nn.Sequential(nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU())


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(layer(64, 128), layer(128, 128), layer(128, 64))
        self.last = nn.Linear(64, 10, bias=False)
        self.norm = nn.BatchNorm1d(10, affine=False)

    def forward(self, x):
        return 3 * self.norm(self.last(self.body(x)))


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    x = torch.tensor(digits.data / 8 - 1, dtype=torch.float32)
    y = torch.tensor(digits.target)
    net = Normed()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:1300], y[:1300]), valid=(x[1300:], y[1300:]),
                optimizer=torch.optim.SGD(net.parameters(), lr=2.0), batch_size=65, epochs=15)
