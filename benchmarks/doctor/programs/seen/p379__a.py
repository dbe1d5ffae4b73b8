"""Praise or blame on Amazon: hashed word pairs in a sparse EmbeddingBag."""
import re
import zlib

import torch
import torch.nn as nn
from data import sentences

BUCKETS = 4096
WIDTH = 40


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(BUCKETS, 16, mode="sum", sparse=True, padding_idx=0)
        nn.init.normal_(self.bag.weight, std=0.05)
        self.fc = nn.Linear(16, 1)

    def forward(self, ids):
        return self.fc(torch.tanh(self.bag(ids)))


def features(text):
    words = re.findall(r"[a-z']+", text.lower())
    grams = words + [a + "_" + b for a, b in zip(words, words[1:])]
    ids = [1 + zlib.crc32(g.encode()) % (BUCKETS - 1) for g in grams][:WIDTH]
    return ids + [0] * (WIDTH - len(ids))


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(t, m) for t, m in sentences("amazon", 3700) if abs(m) > 0.4]
    x = torch.tensor([features(t) for t, _ in rows])
    y = torch.tensor([[float(m > 0)] for _, m in rows])
    net = Bag()
    sparse = torch.optim.SparseAdam(net.bag.parameters(), lr=5e-3)
    dense = torch.optim.Adam(net.fc.parameters(), lr=5e-3)

    def step(network, batch, optimizer, loss):
        for o in (sparse, dense):
            o.zero_grad()
        value = loss(network(batch[0]), batch[1])
        value.backward()
        for o in (sparse, dense):
            o.step()
        return value

    n = len(rows) - 500
    return {"network": net, "loss": nn.BCEWithLogitsLoss(), "step": step, "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": sparse, "batch_size": 32, "epochs": 2}
