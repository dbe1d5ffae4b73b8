"""k-sparse autoencoder (Makhzani and Frey): of 256 hidden units the 10 largest speak, the others are set to zero."""
import numpy as np
import torch
from torch import nn

from data_west import digits8


class KSparse(nn.Module):
    def __init__(self, n_in=64, n_hidden=256, k=10):
        super().__init__()
        self.k = k
        self.encoder = nn.Linear(n_in, n_hidden)
        self.decoder = nn.Linear(n_hidden, n_in)

    def forward(self, x):
        h = torch.relu(self.encoder(x))
        smallest = h.topk(self.k, dim=1).values[:, -1:]
        h = torch.where(h >= smallest, h, torch.zeros_like(h))
        return self.decoder(h)


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xt, _ = digits8()
    x, xt = (torch.from_numpy(a.reshape(-1, 64).astype(np.float32)) / 16 for a in (x, xt))
    mean = x.mean(0)
    x, xt = x - mean, xt - mean
    net = KSparse()
    return dict(network=net, loss=nn.MSELoss(), optimizer=torch.optim.Adam(net.parameters(), lr=1e-3),
                train=(x, x), valid=(xt, xt), batch_size=64, epochs=12)
