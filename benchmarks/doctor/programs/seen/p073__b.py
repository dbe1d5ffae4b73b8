"""Peptides that kill microbes: a transformer encoder with masked mean pooling."""
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from data import peptides

AMINO = "ACDEFGHIKLMNPQRSTVWY"


class Encoder(nn.Module):
    def __init__(self, d=32, max_len=40):
        super().__init__()
        self.tok = nn.Embedding(len(AMINO) + 1, d, padding_idx=0)
        self.pos = nn.Parameter(torch.randn(max_len, d) * 0.02)
        layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.1, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(d, 2)

    def forward(self, x):
        pad = x == 0
        h = self.body(self.tok(x) + self.pos[: x.shape[1]], src_key_padding_mask=pad)
        keep = (~pad).unsqueeze(-1).float()
        return self.head((h * keep).sum(1) / keep.sum(1))


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(s[:40], y) for s, y in peptides(2000) if set(s) <= set(AMINO)]
    x = pad_sequence([torch.tensor([AMINO.index(c) + 1 for c in s]) for s, _ in rows], batch_first=True)
    y = torch.tensor([y for _, y in rows])
    n = int(0.8 * len(x))
    model = Encoder()
    return dict(network=model, loss=nn.CrossEntropyLoss(), train=(x[:n], y[:n]), valid=(x[n:], y[n:]),
                optimizer=torch.optim.Adam(model.parameters(), lr=0.001), batch_size=32, epochs=5)
