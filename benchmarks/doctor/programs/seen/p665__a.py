"""Mood of tweets and film snippets: mean of the word vectors -> one number."""
import re
from collections import Counter

import torch
import torch.nn as nn
from data import sentences


def tokenize(text):
    return re.findall(r"[a-z']+|[:;=][-']?[()dp]", text.lower())


class Vocab:
    def __init__(self, texts, least):
        counts = Counter(t for text in texts for t in set(tokenize(text)))
        self.words = sorted(w for w, c in counts.items() if c >= least)
        self.index = {w: i + 1 for i, w in enumerate(self.words)}

    def __call__(self, text, width=24):
        ids = [self.index[t] for t in tokenize(text) if t in self.index][:width]
        return ids + [0] * (width - len(ids))


class MeanVectors(nn.Module):
    def __init__(self, n_words, dim=24):
        super().__init__()
        self.embedding = nn.Embedding(n_words + 1, dim, padding_idx=0)
        self.out = nn.Linear(dim, 1)

    def forward(self, ids):
        mask = (ids != 0).unsqueeze(-1).float()
        total = (self.embedding(ids) * mask).sum(1)
        return self.out(total / mask.sum(1).clamp(min=1.0)).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = sentences("tweet", n=3600, seed=5)
    train_rows, valid_rows = rows[:2900], rows[2900:]
    vocab = Vocab([t for t, _ in train_rows], least=3)
    train, valid = [(torch.tensor([vocab(t) for t, _ in part]), torch.tensor([r for _, r in part]) / 2)
                    for part in (train_rows, valid_rows)]
    model = MeanVectors(len(vocab.words))
    return {"network": model, "loss": nn.MSELoss(), "train": train, "valid": valid,
            "optimizer": torch.optim.Adam(model.parameters(), lr=1e-2), "batch_size": 50, "epochs": 6}
