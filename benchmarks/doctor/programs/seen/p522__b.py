"""Antimicrobial or not: a transformer reads a peptide."""
import torch
from torch import nn

from data import peptides

AMINO = "ACDEFGHIKLMNPQRSTVWY"
LENGTH = 40


def tokenize(sequence):
    ids = [AMINO.find(a) + 2 for a in sequence[: LENGTH - 1]]
    return [1 + len(AMINO) + 1] + ids + [0] * (LENGTH - 1 - len(ids))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x, mask):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, key_padding_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class PeptideTransformer(nn.Module):
    """A class token stands in front; its final state is read out."""

    def __init__(self, dim=32, heads=4, depth=2):
        super().__init__()
        self.token = nn.Embedding(len(AMINO) + 3, dim)
        self.position = nn.Parameter(0.02 * torch.randn(LENGTH, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 1))

    def forward(self, ids):
        mask = ids == 0
        x = self.token(ids) + self.position
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x[:, 0]).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(s, y) for s, y in peptides(3200, seed=1) if len(s) < LENGTH - 1]
    x = torch.tensor([tokenize(s) for s, _ in rows])
    y = torch.tensor([float(label) for _, label in rows])
    cut = int(len(x) * 0.8)
    model = PeptideTransformer()
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(),
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3),
        "batch_size": 48,
        "epochs": 5,
    }
