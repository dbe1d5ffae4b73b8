"""Which language is this? A port of my old Keras notebook (Embedding -> GRU -> Dense -> Dense)."""
import numpy as np
import torch
from torch import nn
from data_birch import paragraphs

LANGS = ("eng", "nld", "deu", "dan", "swe", "fra", "ita", "spa", "por", "fin")
WINDOW = 32
ACTIVATIONS = {None: nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh, "softmax": lambda: nn.Softmax(dim=-1)}


class Dense(nn.Module):
    def __init__(self, n_in, units, activation=None):
        super().__init__()
        self.kernel = nn.Linear(n_in, units)
        nn.init.xavier_uniform_(self.kernel.weight)
        nn.init.zeros_(self.kernel.bias)
        self.act = ACTIVATIONS[activation]()

    def forward(self, x):
        return self.act(self.kernel(x))


class LangModel(nn.Module):
    def __init__(self, n_chars, n_langs):
        super().__init__()
        self.embedding = nn.Embedding(n_chars, 16)
        self.gru = nn.GRU(16, 48, batch_first=True)
        self.hidden = Dense(48, 32, activation="relu")
        self.out = Dense(32, n_langs, activation="softmax")

    def forward(self, x):
        seq, _ = self.gru(self.embedding(x))
        return self.out(self.hidden(seq.mean(1)))


def windows(rows, table):
    x, y = [], []
    for text, lang, _ in rows:
        codes = [table.get(c, 0) for c in text.lower()]
        for at in range(0, len(codes) - WINDOW + 1, WINDOW):
            x.append(codes[at : at + WINDOW])
            y.append(lang)
    return torch.tensor(x), torch.tensor(y)


def build(seed=0):
    torch.manual_seed(seed)
    rows = paragraphs(LANGS)
    present = sorted({r[1] for r in rows})
    rows = [(t, present.index(k), s) for t, k, s in rows]
    fit, held = [r for r in rows if r[2] % 4], [r for r in rows if r[2] % 4 == 0]
    table = {c: i + 1 for i, c in enumerate(sorted({c for t, _, _ in fit for c in t.lower()}))}
    train, valid = windows(fit, table), windows(held, table)
    model = LangModel(len(table) + 1, len(present))
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": train, "valid": valid,
            "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True), "batch_size": 64, "epochs": 8}
