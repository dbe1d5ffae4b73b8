"""Mood of product reviews' sentences: class token, one encoder layer, word dropout against overfitting."""
import re
from collections import Counter

import torch
from torch import nn

from data import sentences

LENGTH = 18


def split(text):
    return re.findall(r"[a-z']+|[!?]", text.lower())[:LENGTH]


class MoodEncoder(nn.Module):
    def __init__(self, n_words, d=24, word_drop=0.25):
        super().__init__()
        self.word_drop = word_drop
        self.token = nn.Embedding(n_words, d, padding_idx=0)
        self.cls = nn.Parameter(torch.randn(1, 1, d) * 0.1)
        self.place = nn.Parameter(torch.randn(1, LENGTH + 1, d) * 0.1)
        self.layer = nn.TransformerEncoderLayer(d, 2, 48, dropout=0.4, batch_first=True, norm_first=True)
        self.out = nn.Sequential(nn.LayerNorm(d), nn.Dropout(0.3), nn.Linear(d, 1))

    def forward(self, ids):
        if self.training:
            ids = ids.masked_fill((torch.rand(ids.shape) < self.word_drop) & (ids > 0), 1)
        h = torch.cat([self.cls.expand(len(ids), -1, -1), self.token(ids)], 1) + self.place
        pad = torch.cat([torch.zeros(len(ids), 1, dtype=torch.bool), ids == 0], 1)
        return self.out(self.layer(h, src_key_padding_mask=pad)[:, 0])


def build(seed=0):
    torch.manual_seed(seed)
    rows = sentences("amazon", 2400, seed=seed)
    n = 2000
    counts = Counter(w for t, _ in rows[:n] for w in split(t))
    number = {w: i + 2 for i, w in enumerate(w for w, c in counts.items() if c > 2)}
    x = torch.zeros(len(rows), LENGTH, dtype=torch.long)
    for i, (text, _) in enumerate(rows):
        ids = [number.get(w, 1) for w in split(text)]
        x[i, :len(ids)] = torch.tensor(ids)
    y = torch.tensor([[r] for _, r in rows])
    y = (y - y[:n].mean()) / y[:n].std()
    net = MoodEncoder(len(number) + 2)
    return dict(network=net, loss=nn.MSELoss(), train=(x[:n], y[:n]), valid=(x[n:], y[n:]), batch_size=32, epochs=10,
                optimizer=torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01))
