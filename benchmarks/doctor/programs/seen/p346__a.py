"""Liked or not? Sentences from film reviews: word vectors pooled by learned attention."""
import re
from collections import Counter

import torch
from torch import nn
from torch.nn import functional as F
from data import sentences

LENGTH = 24


def words_of(text):
    return re.findall(r"[a-z]{3,}", text.lower())


class AttentionPool(nn.Module):
    def __init__(self, vocab_size, dim=32):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, dim, padding_idx=0)
        self.score = nn.Linear(dim, 1)
        self.fc = nn.Sequential(nn.Linear(dim, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))

    def forward(self, ids):
        e = self.emb(ids)
        s = self.score(e).squeeze(-1)
        s = s.masked_fill(ids == 0, -1e9)
        w = torch.softmax(s, dim=1)
        pooled = torch.bmm(w.unsqueeze(1), e).squeeze(1)
        return self.fc(pooled).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(t, float(m > 0)) for t, m in sentences("movie", 4000) if abs(m) > 0.5]
    cut = len(rows) - 600
    counts = Counter(w for t, _ in rows[:cut] for w in dict.fromkeys(words_of(t)))
    kept = [w for w, c in counts.items() if 3 <= c <= 300]
    index = {w: i + 1 for i, w in enumerate(kept)}

    def prepare(part):
        ids = [[index[w] for w in words_of(t) if w in index][:LENGTH] for t, _ in part]
        ids = torch.tensor([i + [0] * (LENGTH - len(i)) for i in ids])
        return ids, torch.tensor([y for _, y in part])

    net = AttentionPool(len(index) + 1)
    return {
        "network": net,
        "loss": F.binary_cross_entropy_with_logits,
        "train": prepare(rows[:cut]),
        "valid": prepare(rows[cut:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 5,
    }
