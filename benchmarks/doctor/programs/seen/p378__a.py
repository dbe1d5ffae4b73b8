"""k-sparse autoencoder with tied weights on fashion pictures, 14x14."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion


class KSparse(nn.Module):
    def __init__(self, d=196, n=96, k=8):
        super().__init__()
        self.W = nn.Parameter(torch.empty(n, d))
        nn.init.orthogonal_(self.W)
        self.c = nn.Parameter(torch.zeros(n))
        self.b = nn.Parameter(torch.zeros(d))
        self.k = k

    def encode(self, x):
        h = F.linear(x - self.b, self.W, self.c)
        kept = h.abs().topk(self.k, dim=1).indices
        return h * torch.zeros_like(h).scatter_(1, kept, 1.0)

    def forward(self, x):
        return F.linear(self.encode(x), self.W.t(), self.b)


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = fashion(3000, 500)
    x, xv = (F.avg_pool2d(torch.tensor(a).float().unsqueeze(1) / 255, 2).flatten(1) for a in (x, xv))
    net = KSparse()
    return dict(network=net, loss=nn.MSELoss(), train=(x, x), valid=(xv, xv), batch_size=60, epochs=8,
                optimizer=torch.optim.Adam(net.parameters(), lr=1e-3))
