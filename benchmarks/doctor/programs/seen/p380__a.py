"""Who is like whom? Batch-hard triplets (Hermans et al. 2017) on clothes, judged by the nearest neighbour."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Sampler, TensorDataset
from data import fashion


class ClassBatches(Sampler):
    """Batches of P classes with K pictures of each."""

    def __init__(self, y, P=8, K=5, n=60, seed=0):
        self.rows = [torch.nonzero(y == c)[:, 0] for c in range(10)]
        self.P, self.K, self.n = P, K, n
        self.g = torch.Generator().manual_seed(seed)

    def __len__(self):
        return self.n

    def __iter__(self):
        for _ in range(self.n):
            classes = torch.randperm(10, generator=self.g)[: self.P]
            picked = [self.rows[c][torch.randperm(len(self.rows[c]), generator=self.g)[: self.K]] for c in classes]
            yield torch.cat(picked).tolist()


def embedder():
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, 2), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 24, 3, 2), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Flatten(), nn.Linear(600, 32),
    )


def batch_hard(network, batch):
    x, y = batch
    e = network(x)
    d = (e.unsqueeze(1) - e.unsqueeze(0)).square().sum(-1).clamp_min(1e-8).sqrt()
    same = y.unsqueeze(1) == y.unsqueeze(0)
    farthest = d.masked_fill(~same, -1.0).amax(1)
    nearest = d.masked_fill(same, 1e6).amin(1)
    return F.softplus(farthest - nearest).mean()


@torch.no_grad()
def nearest_neighbour(network, valid):
    network.eval()
    e, y = (torch.cat(parts) for parts in zip(*[(network(x), y) for x, y in valid]))
    d = torch.cdist(e, e).fill_diagonal_(float("inf"))
    return float((y[d.argmin(1)] == y).float().mean())


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(3000, 600)
    x, xv = (torch.tensor(a).float().unsqueeze(1) / 128 - 1 for a in (x, xv))
    y, yv = torch.tensor(y), torch.tensor(yv)
    net = embedder()
    return {"network": net, "objective": batch_hard, "evaluate": nearest_neighbour,
            "train": DataLoader(TensorDataset(x, y), batch_sampler=ClassBatches(y, seed=seed)),
            "valid": DataLoader(TensorDataset(xv, yv), 100), "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
            "batch_size": 40, "epochs": 7}
