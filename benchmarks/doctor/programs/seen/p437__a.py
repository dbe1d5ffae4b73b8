"""Mood of product reviews: word vectors come from film reviews, the head is new.

Discriminative fine-tuning: what was learnt before moves slowly.
"""
import re
from collections import Counter

import torch
from torch import nn
from torch.nn import functional as F

from data import sentences

WIDTH = 36


def words_of(text):
    return re.findall(r"[a-z']+|[!?]", text.lower())


class Reader(nn.Module):
    def __init__(self, vocabulary, dim=24):
        super().__init__()
        self.vectors = nn.EmbeddingBag(vocabulary, dim, mode="mean", padding_idx=0)
        self.head = nn.Linear(dim, 1)

    def forward(self, ids):
        return self.head(self.vectors(ids))


def to_ids(rows, index):
    ids = torch.zeros(len(rows), WIDTH, dtype=torch.long)
    for k, (text, _) in enumerate(rows):
        known = [index[w] for w in words_of(text) if w in index][:WIDTH]
        ids[k, : len(known)] = torch.tensor(known, dtype=torch.long)
    return ids, torch.tensor([[mood] for _, mood in rows])


def learn_from_films(network, films, epochs=6):
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(films[0])).split(64):
            optimizer.zero_grad()
            F.mse_loss(network(films[0][rows]), films[1][rows]).backward()
            optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    films, products = sentences("movie", 10000, seed=1), sentences("amazon", 3600, seed=1)
    common = Counter(w for text, _ in films + products[:2400] for w in words_of(text)).most_common(4000)
    index = {w: k + 1 for k, (w, _) in enumerate(common)}
    network = Reader(len(index) + 1)
    learn_from_films(network, to_ids(films, index))

    network.head = nn.Linear(24, 1)
    x, y = to_ids(products, index)
    groups = [{"params": network.vectors.parameters(), "lr": 1e-4}, {"params": network.head.parameters(), "lr": 1e-2}]
    return {
        "network": network,
        "loss": nn.MSELoss(),
        "train": (x[:2400], y[:2400]),
        "valid": (x[2400:], y[2400:]),
        "optimizer": torch.optim.Adam(groups),
        "batch_size": 40,
        "epochs": 20,
    }
