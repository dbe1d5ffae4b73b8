"""Mood of a sentence (mean of 20 raters) from its words: EmbeddingBag with sparse gradients."""
import re
from collections import Counter

import torch
from torch import nn
from torch.utils.data import DataLoader

from data import sentences


def words(text):
    return re.findall(r"[a-z']+", text.lower())


class BagOfWords(nn.Module):
    def __init__(self, vocab, dim=16):
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab, dim, mode="sum", sparse=True)
        nn.init.normal_(self.bag.weight, std=0.05)
        self.register_buffer("direction", torch.ones(dim) / dim**0.5)

    def forward(self, batch):
        tokens, offsets = batch
        return self.bag(tokens, offsets) @ self.direction


def make_collate(index):
    def collate(rows):
        ids = [[index.get(w, 0) for w in words(text)] or [0] for text, _ in rows]
        offsets = torch.tensor([0] + [len(i) for i in ids[:-1]]).cumsum(0)
        return (torch.tensor([t for i in ids for t in i]), offsets), torch.tensor([mood for _, mood in rows])
    return collate


def build(seed=0):
    torch.manual_seed(seed)
    rows = sentences("movie", 8000, seed=2)
    train, valid = rows[:6500], rows[6500:]
    counts = Counter(w for text, _ in train for w in words(text))
    index = {w: i + 1 for i, (w, c) in enumerate(counts.most_common()) if c >= 3}
    net = BagOfWords(len(index) + 1)
    collate = make_collate(index)
    return {"network": net, "loss": nn.MSELoss(),
            "train": DataLoader(train, batch_size=64, shuffle=True, collate_fn=collate),
            "valid": DataLoader(valid, batch_size=250, collate_fn=collate),
            "optimizer": torch.optim.SparseAdam(list(net.parameters()), lr=2e-3), "batch_size": 64, "epochs": 6}
