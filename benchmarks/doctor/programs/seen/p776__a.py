"""Supervised contrastive learning (Khosla et al.) on MNIST, P x K batches; retrieval accuracy."""
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler, TensorDataset
from data import mnist


class PKSampler(Sampler):
    """Batches of p classes with k pictures each."""

    def __init__(self, labels, p=10, k=4, batches=45):
        self.by = [torch.nonzero(labels == c).flatten() for c in range(10)]
        self.p, self.k, self.batches = p, k, batches

    def __len__(self):
        return self.batches

    def __iter__(self):
        for _ in range(self.batches):
            chosen = torch.randperm(10)[: self.p]
            yield torch.cat([self.by[c][torch.randperm(len(self.by[c]))[: self.k]] for c in chosen]).tolist()


def supcon(z, labels, temperature=0.1):
    logits = z @ z.T / temperature
    same = labels[:, None] == labels[None]
    eye = torch.eye(len(z), dtype=torch.bool)
    logits = logits.masked_fill(eye, -1e9)
    log_p = logits - logits.logsumexp(1, keepdim=True)
    positive = same & ~eye
    return -((log_p * positive).sum(1) / positive.sum(1).clamp_min(1)).mean()


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU())
        self.project = nn.Linear(24 * 49, 16)

    def forward(self, x):
        return F.normalize(self.project(self.conv(x).flatten(1)), dim=1)


def retrieval(network, valid):
    network.eval()
    with torch.no_grad():
        x, y = next(iter(valid))
        z = network(x)
        similar = (z @ z.T).fill_diagonal_(-2)
    return float((y[similar.argmax(1)] == y).float().mean())


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(1500, 600)
    prepare = lambda a: (torch.from_numpy(a).float().unsqueeze(1) - 33.3) / 78.6
    y = torch.from_numpy(y)
    net = Encoder()
    return {
        "network": net,
        "loss": supcon,
        "train": DataLoader(TensorDataset(prepare(x), y), batch_sampler=PKSampler(y)),
        "valid": DataLoader(TensorDataset(prepare(xv), torch.from_numpy(yv)), batch_size=600),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 40,
        "epochs": 6,
        "evaluate": retrieval,
    }
