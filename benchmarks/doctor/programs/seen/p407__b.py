import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from data import splice


class Block(nn.Module):
    def __init__(self, d, heads, p):
        super().__init__()
        self.p = p
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)
        self.up, self.down = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)

    def forward(self, x):
        h = self.norm1(x)
        h, _ = self.attention(h, h, h, need_weights=False)
        x = x + F.dropout(h, self.p)
        h = self.down(F.gelu(self.up(self.norm2(x))))
        return x + F.dropout(h, self.p)


class SpliceSite(nn.Module):
    """Exon-intron, intron-exon, or neither, from 60 bases."""

    def __init__(self, d=32, layers=2, heads=4, p=0.3):
        super().__init__()
        self.base = nn.Embedding(4, d)
        self.place = nn.Parameter(torch.randn(60, d) / math.sqrt(d))
        self.blocks = nn.Sequential(*[Block(d, heads, p) for _ in range(layers)])
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(60 * d, 3)
        self.p = p

    def forward(self, x):
        h = self.norm(self.blocks(self.base(x) + self.place))
        return self.head(F.dropout(h.flatten(1), 0.5))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = (torch.from_numpy(a) for a in splice(2000))
    model = SpliceSite()
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return dict(network=model, loss=nn.CrossEntropyLoss(), optimizer=opt, batch_size=32, epochs=4,
                train=(x[:1500], y[:1500]), valid=(x[1500:], y[1500:]))
