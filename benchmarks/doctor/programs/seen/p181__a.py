"""Names letter by letter: a small decoder-only transformer that could invent more of them."""
import torch
import torch.nn as nn
from data import names

MAXLEN = 14


def tokens():
    rows = [name for name, _ in names(("nl_NL", "it_IT"), n=1000) if name.isascii() and 3 <= len(name) < MAXLEN]
    chars = sorted({c for r in rows for c in r})
    x = torch.zeros(len(rows), MAXLEN + 1, dtype=torch.long)
    for i, r in enumerate(rows):
        x[i, 1 : len(r) + 1] = torch.tensor([chars.index(c) + 2 for c in r])
        x[i, len(r) + 1] = 1
    inputs, targets = x[:, :-1].clone(), x[:, 1:].clone()
    ends = (targets == 1).int().cumsum(1) - (targets == 1).int()
    targets[ends > 0] = -100
    return inputs, targets, len(chars) + 2


class Decoder(nn.Module):
    def __init__(self, vocab, d=32, heads=4):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, d), nn.Embedding(MAXLEN, d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(d, 64), nn.GELU(), nn.Linear(64, d))
        self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.head = nn.Linear(d, vocab)

    def forward(self, x):
        n = x.shape[1]
        h = self.tok(x) + self.pos(torch.arange(n))
        future = torch.ones(n, n, dtype=torch.bool).triu(1)
        q = self.n1(h)
        h = h + self.attn(q, q, q, attn_mask=future, need_weights=False)[0]
        h = h + self.ff(self.n2(h))
        return self.head(h).transpose(1, 2)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, vocab = tokens()
    n = int(0.85 * len(x))
    net = Decoder(vocab)
    return {"network": net, "loss": nn.CrossEntropyLoss(ignore_index=-100), "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": torch.optim.AdamW(net.parameters(), lr=4e-3), "batch_size": 32, "epochs": 8}
