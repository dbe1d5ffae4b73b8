"""Mood of tweets: words -> GRU -> a number (mean of 20 raters)."""
import re
from collections import Counter

import torch
from torch import nn

from data import sentences

MAX_WORDS = 60


def tokenize(text):
    return re.findall(r"[a-z']+|[!?:;()]+", text.lower())


class MoodGRU(nn.Module):
    def __init__(self, vocabulary, dim=32, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.gru = nn.GRU(dim, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.out = nn.Linear(hidden, 1)

    def forward(self, ids):
        states, _ = self.gru(self.embedding(ids))
        ends = (ids != 0).sum(1).clamp(min=1) - 1
        last = states[torch.arange(len(ids)), ends]
        return self.out(self.dropout(last)).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = sentences("tweet", 3600)
    texts = [tokenize(t)[:MAX_WORDS] for t, _ in rows]
    moods = torch.tensor([m for _, m in rows])
    cut = 3000
    counts = Counter(w for t in texts[:cut] for w in t)
    index = {w: i + 2 for i, (w, c) in enumerate(counts.most_common(2000)) if c > 1}
    ids = torch.zeros(len(texts), MAX_WORDS, dtype=torch.long)
    for row, words in zip(ids, texts):
        for j, w in enumerate(words):
            row[j] = index.get(w, 1)
    moods = (moods - moods[:cut].mean()) / moods[:cut].std()
    net = MoodGRU(len(index) + 2)
    return {"network": net, "loss": nn.MSELoss(), "train": (ids[:cut], moods[:cut]), "valid": (ids[cut:], moods[cut:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 50, "epochs": 6}
