"""Donor, acceptor or neither: a small Transformer encoder over 60 bases of DNA, read as twenty triplets.

Learning rate after "Attention is all you need": d^-0.5 * min(step^-0.5, step * warmup^-1.5).
"""
import math

import torch
from torch import nn

from data import splice


class DNATransformer(nn.Module):
    def __init__(self, d=32, heads=4, layers=1, length=20):
        super().__init__()
        self.base = nn.Embedding(64, d)
        self.position = nn.Parameter(torch.randn(length, d) * 0.1)
        block = nn.TransformerEncoderLayer(d, heads, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(block, layers)
        self.classify = nn.Linear(d, 3)

    def forward(self, x):
        triplet = (x.view(len(x), 20, 3) * torch.tensor([16, 4, 1])).sum(2)
        h = self.base(triplet) * math.sqrt(self.base.embedding_dim) + self.position
        return self.classify(self.encoder(h).mean(1))


class NoamOpt:
    """Optimizer wrapper that sets the rate before every step."""

    def __init__(self, d_model, warmup, optimizer):
        self.d_model, self.warmup, self.optimizer = d_model, warmup, optimizer
        self.count = 0

    def rate(self):
        return 0.5 * self.d_model ** -0.5 * min(self.count ** -0.5, self.count * self.warmup ** -1.5)

    def step(self):
        self.count += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    x, y = splice(2400)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    net = DNATransformer()
    noam = NoamOpt(32, 50, torch.optim.Adam(net.parameters(), lr=0, betas=(0.9, 0.98), eps=1e-9))

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        value = loss(network(batch[0]), batch[1])
        value.backward()
        noam.step()
        return value.item()

    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": noam.optimizer,
        "step": step,
        "train": (x[:1800], y[:1800]),
        "valid": (x[1800:], y[1800:]),
        "batch_size": 32,
        "epochs": 5,
    }
