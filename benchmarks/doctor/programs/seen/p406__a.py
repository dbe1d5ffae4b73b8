"""Mood of film reviews: averaged word vectors, linear read-out.

Target: mean of 20 people's rating between -4 and 4.
"""
import re
from collections import Counter

import torch
from torch import nn

from data import sentences


def tokenize(text):
    return re.findall(r"[a-z']+|[!?]", text.lower())


class MeanOfWords(nn.Module):
    def __init__(self, vocabulary, dim=32):
        super().__init__()
        self.bag = nn.EmbeddingBag(vocabulary, dim, mode="mean", padding_idx=0)
        self.readout = nn.Linear(dim, 1)

    def forward(self, ids):
        return self.readout(self.bag(ids))


def training_step(network, batch, optimizer, loss):
    ids, mood = batch
    optimizer.zero_grad
    error = loss(network(ids), mood)
    error.backward()
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    data = sentences("movie", 6000, seed=2)
    words = [tokenize(t) for t, _ in data]
    cut = 5000
    common = Counter(w for ws in words[:cut] for w in ws).most_common(3000)
    index = {w: i + 1 for i, (w, _) in enumerate(common)}
    ids = torch.zeros(len(data), 30, dtype=torch.long)
    for row, ws in enumerate(words):
        known = [index[w] for w in ws if w in index][:30]
        ids[row, : len(known)] = torch.tensor(known, dtype=torch.long)
    mood = torch.tensor([[m] for _, m in data])
    net = MeanOfWords(len(index) + 1)
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "step": training_step,
        "train": (ids[:cut], mood[:cut]),
        "valid": (ids[cut:], mood[cut:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 8,
    }
