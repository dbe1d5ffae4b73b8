"""Surnames and their countries: a small transformer encoder over the letters with a class token."""
import argparse
import math

import torch
from torch import nn
from data import names


def get_args():
    p = argparse.ArgumentParser()
    p.add_argument("--d_model", type=int, default=32)
    p.add_argument("--heads", type=int, default=4)
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--lr", type=float, default=2e-2)
    p.add_argument("--batch_size", type=int, default=40)
    p.add_argument("--epochs", type=int, default=10)
    return p.parse_args([])


class NameEncoder(nn.Module):
    def __init__(self, n_chars, n_classes, args, width):
        super().__init__()
        self.token = nn.Embedding(n_chars, args.d_model, padding_idx=0)
        self.cls = nn.Parameter(torch.randn(1, 1, args.d_model) * 0.02)
        where = torch.arange(width + 1).unsqueeze(1)
        freq = torch.exp(torch.arange(0, args.d_model, 2) * (-math.log(1000.0) / args.d_model))
        self.register_buffer("pos", torch.stack([torch.sin(where * freq), torch.cos(where * freq)], -1).flatten(1))
        layer = nn.TransformerEncoderLayer(args.d_model, args.heads, 2 * args.d_model, 0.1, batch_first=True)
        self.body = nn.TransformerEncoder(layer, args.layers, enable_nested_tensor=False)
        self.head = nn.Linear(args.d_model, n_classes)

    def forward(self, ids):
        x = torch.cat([self.cls.expand(len(ids), 1, -1), self.token(ids)], 1) + self.pos
        blank = torch.cat([torch.zeros(len(ids), 1, dtype=torch.bool), ids == 0], 1)
        return self.head(self.body(x, src_key_padding_mask=blank)[:, 0])


def build(seed=0):
    torch.manual_seed(seed)
    args = get_args()
    locales = ("ga_IE", "it_IT", "hr_HR", "nl_NL", "es_ES", "fr_FR")
    rows = names(locales, "L", n=300, seed=2)
    chars = sorted({c for name, _ in rows for c in name.lower()})
    width = 12
    x = torch.zeros(len(rows), width, dtype=torch.long)
    for i, (name, _) in enumerate(rows):
        ids = [chars.index(c) + 1 for c in name.lower()[:width]]
        x[i, : len(ids)] = torch.tensor(ids)
    y = torch.tensor([k for _, k in rows])
    n = int(len(x) * 0.8)
    net = NameEncoder(len(chars) + 1, int(y.max()) + 1, args, width)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=args.lr), "batch_size": args.batch_size,
            "epochs": args.epochs}
