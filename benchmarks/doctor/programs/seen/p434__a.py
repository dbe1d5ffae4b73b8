"""Parts of digits: sparse autoencoder with tied weights, after the old lecture notes (Ng)."""
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class SparseAutoencoder(nn.Module):
    def __init__(self, n_visible=64, n_hidden=150):
        super().__init__()
        self.W = nn.Parameter(torch.empty(n_hidden, n_visible))
        nn.init.xavier_uniform_(self.W)
        self.b = nn.Parameter(torch.full((n_hidden,), -2.0))
        self.c = nn.Parameter(torch.zeros(n_visible))

    def code(self, x):
        return torch.sigmoid(F.linear(x, self.W, self.b))

    def forward(self, x):
        return F.linear(self.code(x), self.W.t(), self.c)


def cost(network, batch, rho=0.08, beta=0.02):
    x, target = batch
    usual = network.code(x).mean(0).clamp(1e-4, 1 - 1e-4)
    kl = rho * torch.log(rho / usual) + (1 - rho) * torch.log((1 - rho) / (1 - usual))
    return F.mse_loss(network(x), target, reduction="sum") / len(x) + beta * kl.sum()


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(4))]
    x = x - x[:1400].mean(0)
    net = SparseAutoencoder()
    return dict(network=net, objective=cost, train=(x[:1400], x[:1400]), valid=(x[1400:], x[1400:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), batch_size=50, epochs=40)
