"""fastText-like sentiment of Amazon review sentences: hashed unigrams and bigrams, sparse embedding gradients."""
import re
import zlib

import torch
from torch import nn
from torch.utils.data import DataLoader

from data import sentences

BUCKETS = 20_000


def grams(text):
    words = re.findall(r"[a-z']+|[!?]", text.lower())
    both = words + [a + " " + b for a, b in zip(words, words[1:])]
    return [1 + zlib.crc32(g.encode()) % (BUCKETS - 1) for g in both][:60]


def collate(rows):
    ids = [grams(t) for t, _ in rows]
    width = max(max(map(len, ids)), 1)
    x = torch.zeros(len(rows), width, dtype=torch.long)
    for i, g in enumerate(ids):
        x[i, : len(g)] = torch.tensor(g, dtype=torch.long)
    return x, torch.tensor([float(r > 0) for _, r in rows])


class FastText(nn.Module):
    def __init__(self, dim=10):
        super().__init__()
        self.bag = nn.EmbeddingBag(BUCKETS, dim, mode="mean", sparse=True, padding_idx=0)
        self.out = nn.Linear(dim, 1)
        nn.init.uniform_(self.bag.weight, -1 / dim, 1 / dim)

    def forward(self, x):
        return self.out(self.bag(x)).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = sentences("amazon", 3600)
    net = FastText()
    cut = 3000
    return {
        "network": net,
        "loss": nn.BCEWithLogitsLoss(),
        "optimizer": torch.optim.SGD(net.parameters(), lr=1.5),
        "train": DataLoader(rows[:cut], batch_size=16, shuffle=True, collate_fn=collate),
        "valid": DataLoader(rows[cut:], batch_size=600, collate_fn=collate),
        "batch_size": 16,
        "epochs": 6,
    }
