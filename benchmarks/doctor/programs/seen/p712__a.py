"""Names to locales: bidirectional GRU over one-hot letters, mean of its states."""
import unicodedata

import torch
import torch.nn as nn
import torch.nn.functional as F

from data import names

LOCALES = ("fi_FI", "it_IT", "pl_PL", "nl_NL")
LETTERS = "abcdefghijklmnopqrstuvwxyz-' "
LONGEST = 14


def plain(name):
    stripped = unicodedata.normalize("NFD", name.lower())
    return "".join(c for c in stripped if c in LETTERS)[:LONGEST]


def one_hot(name):
    x = torch.zeros(LONGEST, len(LETTERS))
    for t, c in enumerate(plain(name).ljust(LONGEST)):
        x[t, LETTERS.index(c)] = 1.0
    return x


class NameGRU(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.gru = nn.GRU(len(LETTERS), hidden, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * hidden, len(LOCALES))

    def forward(self, x):
        states, _ = self.gru(x)
        return self.fc(F.dropout(states.mean(1), 0.2, self.training))


def build(seed=0):
    torch.manual_seed(seed)
    rows = names(LOCALES, n=500, seed=seed)
    x = torch.stack([one_hot(name) for name, _ in rows])
    y = torch.tensor([label for _, label in rows])
    split = int(0.8 * len(rows))
    model = NameGRU()
    opt = torch.optim.Adam(model.parameters(), lr=4e-3)
    return {"network": model, "loss": F.cross_entropy, "optimizer": opt, "train": (x[:split], y[:split]),
            "valid": (x[split:], y[split:]), "batch_size": 32, "epochs": 10}
