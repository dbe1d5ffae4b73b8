"""Which lower half belongs to which upper half? Contrastive learning on clothes."""
import torch
import torch.nn.functional as F
from torch import nn
from data import fashion


class Halves(nn.Module):
    def __init__(self, d=24):
        super().__init__()
        self.top = nn.Sequential(nn.Flatten(), nn.Linear(392, 96), nn.ReLU(), nn.Linear(96, d))
        self.bottom = nn.Sequential(nn.Flatten(), nn.Linear(392, 96), nn.ReLU(), nn.Linear(96, d))

    def forward(self, x):
        return F.normalize(self.top(x[:, :14]), dim=1), F.normalize(self.bottom(x[:, 14:]), dim=1)


def info_nce(network, batch, temperature=0.1):
    a, b = network(batch[0])
    similarity = a @ b.t() / temperature
    own = torch.arange(len(a))
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.t(), own)) / 2


@torch.no_grad()
def evaluate(network, valid):
    """Share of upper halves whose own lower half is nearest, among a hundred."""
    network.eval()
    a, b = network(valid[0])
    hits = [(p @ q.t()).argmax(1).eq(torch.arange(len(p))).float().mean() for p, q in zip(a.split(100), b.split(100))]
    return float(torch.stack(hits).mean())


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = fashion(2500, 600)
    x, xv = torch.tensor(x).float() / 255, torch.tensor(xv).float() / 255
    net = Halves()
    return {"network": net, "objective": info_nce, "evaluate": evaluate, "train": (x, torch.arange(len(x))),
            "valid": (xv, torch.arange(len(xv))), "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
            "batch_size": 100, "epochs": 6}
