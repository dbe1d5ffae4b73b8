"""A two-layer network from scratch: own parameters, own forward pass."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_digits


class TwoLayer(nn.Module):
    def __init__(self, d=64, h=48, k=10):
        super().__init__()
        self.W1 = nn.Parameter(torch.randn(d, h) / d**0.5)
        self.b1 = nn.Parameter(torch.zeros(h))
        self.W2 = nn.Parameter(torch.randn(h, k) / h**0.5)
        self.b2 = nn.Parameter(torch.zeros(k))

    def forward(self, x):
        return torch.tanh(x @ self.W1 + self.b1) @ self.W2 + self.b2


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 8 - 1).float(), torch.tensor(y)
    i = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    model = TwoLayer()
    return dict(network=model, loss=F.cross_entropy, train=(x[i[:1200]], y[i[:1200]]), valid=(x[i[1200:]], y[i[1200:]]),
                optimizer=torch.optim.SGD(model.parameters(), lr=0.1), batch_size=40, epochs=8)
