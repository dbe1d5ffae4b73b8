"""Mood of a sentence about a film: good or bad. Words, a small encoder."""
import re
import torch
from torch import nn
from data import sentences

MAX = 30


def tokenise(text):
    return re.findall(r"[a-z']+", text.lower())[:MAX]


class Encoder(nn.Module):
    def __init__(self, vocab, d=32):
        super().__init__()
        self.emb = nn.Embedding(vocab, d, padding_idx=0)
        self.attn = nn.MultiheadAttention(d, 2, batch_first=True)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(d, 2)

    def forward(self, x):
        h = self.drop(self.emb(x))
        mask = x != 0
        mask = mask & ~mask.all(1, keepdim=True)
        a, _ = self.attn(h, h, h, key_padding_mask=mask, need_weights=False)
        return self.fc(a[:, 0])


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(tokenise(t), int(r > 0)) for t, r in sentences("movie", 4000) if abs(r) > 0.5]
    rows = [(w, y) for w, y in rows if w]
    count = {}
    for words, _ in rows[:2600]:
        for w in words:
            count[w] = count.get(w, 0) + 1
    ids = {w: i + 1 for i, w in enumerate(w for w, c in count.items() if c >= 2)}
    x = torch.zeros(len(rows), MAX + 1, dtype=torch.long)
    x[:, 0] = len(ids) + 1
    for i, (words, _) in enumerate(rows):
        known = [ids[w] for w in words if w in ids]
        x[i, 1 : len(known) + 1] = torch.tensor(known, dtype=torch.long)
    y = torch.tensor([y for _, y in rows])
    n = 2600
    net = Encoder(len(ids) + 2)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 50, "epochs": 6}
