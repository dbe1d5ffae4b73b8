"""Is a tweet happy? Embedding bag over words and pairs of words (fastText style)."""
import re
from collections import Counter

import torch
from torch import nn
from torch.utils.data import DataLoader

from data import sentences


class Corpus:
    def __init__(self, rows, vocab=None, size=4000):
        self.rows = [(self.grams(text), float(mood > 0)) for text, mood in rows]
        if vocab is None:
            counts = Counter(g for grams, _ in self.rows for g in grams)
            vocab = {g: i + 1 for i, (g, _) in enumerate(counts.most_common(size))}
        self.vocab = vocab

    @staticmethod
    def grams(text):
        words = re.findall(r"[a-z']+|[:;][-']?[()dp]|[!?]+", text.lower())
        return words + [a + " " + b for a, b in zip(words, words[1:])]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        grams, label = self.rows[i]
        return [self.vocab[g] for g in grams if g in self.vocab][:40], label


def pad(batch):
    ids = torch.zeros(len(batch), 40, dtype=torch.long)
    for row, (found, _) in enumerate(batch):
        ids[row, : len(found)] = torch.tensor(found, dtype=torch.long)
    return ids, torch.tensor([label for _, label in batch])


class FastText(nn.Module):
    def __init__(self, size, dim=24):
        super().__init__()
        self.embedding = nn.EmbeddingBag(size + 1, dim, mode="sum", padding_idx=0)
        self.output = nn.Linear(dim, 1)

    def forward(self, ids):
        return self.output(self.embedding(ids)).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = sentences("tweet", 4000, seed=4)
    train = Corpus(rows[:3200])
    valid = Corpus(rows[3200:])
    net = FastText(4000)
    return {
        "network": net,
        "loss": nn.BCEWithLogitsLoss(),
        "train": DataLoader(train, batch_size=32, shuffle=True, collate_fn=pad),
        "valid": DataLoader(valid, batch_size=200, collate_fn=pad),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 4,
    }
