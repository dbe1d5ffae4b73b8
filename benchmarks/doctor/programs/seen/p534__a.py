"""Six languages, told apart by the letters of single words; regularized as in AWD-LSTM."""
import random

import torch
from torch import nn

from data_east import declarations

LANGUAGES = ("eng", "spa", "ita", "fin", "hun", "pol")
LENGTH = 14


class LockedDropout(nn.Module):
    """One mask for all time steps."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = torch.empty(x.size(0), 1, x.size(2)).bernoulli_(1 - self.p) / (1 - self.p)
        return x * mask


class WordReader(nn.Module):
    def __init__(self, letters, emb=32, units=64, p_letter=0.15, p_emb=0.4, p_out=0.6):
        super().__init__()
        self.p_letter = p_letter
        self.embed = nn.Embedding(letters, emb)
        self.locked = LockedDropout(p_emb)
        self.rnn = nn.LSTM(emb, units, batch_first=True)
        self.drop = nn.Dropout(p_out)
        self.out = nn.Linear(units, len(LANGUAGES))

    def forward(self, x):
        if self.training:
            x = x.masked_fill(torch.rand(x.shape) < self.p_letter, 0)
        h, _ = self.rnn(self.locked(self.embed(x)))
        return self.out(self.drop(h[:, -1]))


def build(seed=0):
    torch.manual_seed(seed)
    found = {}
    for language, _, text in declarations(LANGUAGES):
        for word in text.lower().split():
            word = "".join(c for c in word if c.isalpha())
            if 4 <= len(word) <= LENGTH:
                found.setdefault(word, set()).add(language)
    words = sorted((w, next(iter(s))) for w, s in found.items() if len(s) == 1)
    random.Random(0).shuffle(words)
    letters = {c: i + 1 for i, c in enumerate(sorted({c for w, _ in words for c in w}))}
    x = torch.zeros(len(words), LENGTH, dtype=torch.long)
    for i, (w, _) in enumerate(words):
        x[i, LENGTH - len(w) :] = torch.tensor([letters[c] for c in w])
    y = torch.tensor([LANGUAGES.index(k) for _, k in words])
    cut = int(0.8 * len(x))
    model = WordReader(len(letters) + 1)
    return {"network": model, "loss": nn.CrossEntropyLoss(label_smoothing=0.1), "train": (x[:cut], y[:cut]),
            "valid": (x[cut:], y[cut:]), "optimizer": torch.optim.Adam(model.parameters(), lr=4e-3),
            "batch_size": 32, "epochs": 10}
