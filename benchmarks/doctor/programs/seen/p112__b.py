"""How is each letter of a word spoken? One attention layer over the word."""
import torch
import torch.nn as nn
from data import pronunciations

LENGTH = 8


def read():
    rows = [(w, p) for w, p in pronunciations(9000, seed=6) if len(w) == len(p) == LENGTH - 2 or len(w) == len(p) == LENGTH - 3]
    sounds = sorted({q for _, p in rows for q in p})
    x = torch.zeros(len(rows), LENGTH, dtype=torch.long)
    y = torch.full((len(rows), LENGTH), -100)
    for i, (w, p) in enumerate(rows):
        x[i, : len(w)] = torch.tensor([ord(c) - 96 for c in w])
        y[i, : len(p)] = torch.tensor([sounds.index(q) for q in p])
    return x, y, len(sounds)


class Attend(nn.Module):
    def __init__(self, sounds, d=48, heads=4):
        super().__init__()
        self.letter = nn.Embedding(27, d)
        self.place = nn.Embedding(LENGTH, d)
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)
        self.norm = nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
        self.out = nn.Linear(d, sounds)

    def forward(self, x):
        h = self.letter(x) + self.place.weight
        a, _ = self.attention(h, h, h, need_weights=False)
        h = self.norm(h + a)
        return self.out(h + self.mlp(h)).transpose(1, 2)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, sounds = read()
    n = int(0.8 * len(x))
    net = Attend(sounds)
    return {"network": net, "loss": nn.CrossEntropyLoss(ignore_index=-100), "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 32, "epochs": 15}
