"""Antimicrobial peptides from their sequence: 1-D convolution over amino acids, max-pooled.

Lab code, second version (the first one was a Keras model).
"""
import torch
import torch.nn as nn

from data import peptides

AMINO = "ACDEFGHIKLMNPQRSTVWY"
INDEX = {a: i + 1 for i, a in enumerate(AMINO)}
MAX_LEN = 64


def tokenize(seq):
    ids = [INDEX.get(a, 0) for a in seq[:MAX_LEN]]
    return ids + [0] * (MAX_LEN - len(ids))


class PeptideNet(nn.Module):
    def __init__(self, dim=16, channels=48):
        super().__init__()
        self.embed = nn.Embedding(len(AMINO) + 1, dim, padding_idx=0)
        self.conv1 = nn.Conv1d(dim, channels, 5, padding=2)
        self.conv2 = nn.Conv1d(channels, channels, 5, padding=2)
        self.head = nn.Linear(channels, 1)

    def forward(self, tokens):
        mask = (tokens > 0).unsqueeze(1)
        h = self.embed(tokens).transpose(1, 2)
        h = torch.relu(self.conv1(h)) * mask
        h = torch.relu(self.conv2(h)) * mask
        pooled = h.sum(2) / mask.sum(2).clamp(min=1)
        return self.head(pooled).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = peptides(2400)
    x = torch.tensor([tokenize(s) for s, _ in rows])
    y = torch.tensor([float(label) for _, label in rows])
    model = PeptideNet()
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3),
        "train": (x[:1800], y[:1800]),
        "valid": (x[1800:], y[1800:]),
        "batch_size": 32,
        "epochs": 6,
    }
