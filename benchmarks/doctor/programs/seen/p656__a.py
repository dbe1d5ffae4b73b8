"""Which book is the verse from? A bag of word vectors with a small MLP on top."""
from collections import Counter
import re
import torch
import torch.nn as nn
from data_birch import verses

BOOKS = ("Leviticus", "Psalms", "Luke", "Romans", "I Samuel")


class Corpus:
    """Verses as rows of word numbers: 0 pads, 1 stands for a word that is not known."""

    def __init__(self, rows, size=1500, width=40, words=None):
        self.tokens = [re.findall("[a-z]+", text.lower()) for text, _, _ in rows]
        if words is None:
            counts = Counter(w for line in self.tokens for w in line)
            words = [w for w, _ in counts.most_common(size)]
        self.words = words
        number = {w: i + 2 for i, w in enumerate(words)}
        self.x = torch.zeros(len(rows), width, dtype=torch.long)
        for i, line in enumerate(self.tokens):
            ids = [number.get(w, 1) for w in line][:width]
            self.x[i, : len(ids)] = torch.tensor(ids)
        self.y = torch.tensor([b for _, b, _ in rows])


class BagOfVectors(nn.Module):
    def __init__(self, n_words, n_books, dim=32):
        super().__init__()
        self.vectors = nn.Embedding(n_words, dim, padding_idx=0)
        self.mlp = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, n_books))

    def forward(self, x):
        there = (x > 0).sum(1, keepdim=True).clamp(min=1)
        return self.mlp(self.vectors(x).sum(1) / there)


def build(seed=0):
    torch.manual_seed(seed)
    rows = verses(BOOKS)
    present = sorted({b for _, b, _ in rows})
    rows = [(t, present.index(b), c) for t, b, c in rows]
    train = Corpus([r for r in rows if r[2] % 4 != 1])
    valid = Corpus([r for r in rows if r[2] % 4 == 1])
    net = BagOfVectors(len(train.words) + 2, len(present))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (train.x, train.y), "valid": (valid.x, valid.y),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 64, "epochs": 8}
