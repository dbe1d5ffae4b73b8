"""Peptides, a class token and a transformer encoder with a padding mask."""
import re
import torch
import torch.nn as nn
from data import peptides

LETTERS = "ACDEFGHIKLMNPQRSTVWYX"


class Classifier(nn.Module):
    def __init__(self, d=24, n=48):
        super().__init__()
        self.emb = nn.Embedding(len(LETTERS) + 2, d, padding_idx=0)
        self.pos = nn.Embedding(n + 1, d)
        layer = nn.TransformerEncoderLayer(d, 2, 48, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 1)

    def forward(self, x):
        cls = torch.full((len(x), 1), len(LETTERS) + 1)
        x = torch.cat([cls, x], dim=1)
        h = self.emb(x) + self.pos(torch.arange(x.shape[1]))
        h = self.encoder(h, src_key_padding_mask=x == 0)
        return self.head(self.norm(h[:, 0])).squeeze(1)


def encode(s, n=48):
    codes = [LETTERS.index(c if c in LETTERS else "X") + 1 for c in re.sub(r"\W", "", s)[:n]]
    return codes + [0] * (n - len(codes))


def build(seed=0):
    torch.manual_seed(seed)
    rows = peptides(1600, seed=2)
    x = torch.tensor([encode(s) for s, _ in rows])
    y = torch.tensor([float(y) for _, y in rows])
    net = Classifier()
    return dict(network=net, loss=nn.BCEWithLogitsLoss(), train=(x[:1200], y[:1200]), valid=(x[1200:], y[1200:]),
                optimizer=torch.optim.AdamW(net.parameters(), lr=2e-3), batch_size=32, epochs=6)
