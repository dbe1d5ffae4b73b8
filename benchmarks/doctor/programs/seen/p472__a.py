"""Autoencoder with tied weights for 16x16 patches of a photograph."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data_south import patches


class TiedAutoencoder(nn.Module):
    def __init__(self, n_visible=256, n_hidden=64):
        super().__init__()
        self.W = nn.Parameter(torch.empty(n_hidden, n_visible))
        self.b_hidden = nn.Parameter(torch.zeros(n_hidden))
        self.b_visible = nn.Parameter(torch.zeros(n_visible))
        nn.init.xavier_uniform_(self.W)

    def forward(self, x):
        h = torch.tanh(F.linear(x, self.W, self.b_hidden))
        return F.linear(h, self.W.t(), self.b_visible)


def flat(a):
    x = torch.from_numpy(a).flatten(1)
    return x - x.mean(dim=1, keepdim=True)


def evaluate(net, valid):
    """Share of the patches' variance that is rebuilt."""
    net.eval()
    x, target = valid
    with torch.no_grad():
        return 1 - ((net(x) - target) ** 2).sum().item() / (target**2).sum().item()


def build(seed=0):
    torch.manual_seed(seed)
    x, xv = flat(patches("camera", n=4000, seed=0)), flat(patches("camera", n=500, seed=1))
    net = TiedAutoencoder()
    return dict(network=net, loss=nn.MSELoss(reduction="sum"), evaluate=evaluate, train=(x, x), valid=(xv, xv), batch_size=100,
                epochs=40, optimizer=torch.optim.SGD(net.parameters(), lr=2e-5, momentum=0.9))
