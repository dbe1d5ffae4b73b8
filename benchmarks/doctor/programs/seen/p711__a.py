"""Which part of the Bible is a verse from: the law, the histories, the psalms, or the gospels? Bag of embeddings."""
import re
from collections import Counter

import torch
from torch import nn

from data_cedar import verses

PARTS = {
    "Leviticus": 0, "Numbers": 0, "Deuteronomy": 0, "Exodus": 0,
    "I Samuel": 1, "II Samuel": 1, "I Kings": 1, "II Kings": 1,
    "Psalms": 2, "Proverbs": 2, "Job": 2,
    "Matthew": 3, "Mark": 3, "Luke": 3, "John": 3,
}
MAX_WORDS = 40


def words_of(text):
    return re.findall(r"[a-z']+", text.lower())


def vocabulary(texts, at_least=2):
    counts = Counter(w for t in texts for w in words_of(t))
    kept = sorted(w for w, n in counts.items() if n >= at_least)
    return {w: i + 2 for i, w in enumerate(kept)}  # 0 pads, 1 is unknown


def encode(texts, words):
    rows = torch.zeros(len(texts), MAX_WORDS, dtype=torch.long)
    for i, text in enumerate(texts):
        ids = [words.get(w, 1) for w in words_of(text)][:MAX_WORDS]
        rows[i, :len(ids)] = torch.tensor(ids)
    return rows


class FastText(nn.Module):
    def __init__(self, n_words, dim=48, classes=4):
        super().__init__()
        self.embedding = nn.EmbeddingBag(n_words, dim, mode="mean", padding_idx=0)
        self.drop = nn.Dropout(0.3)
        self.linear = nn.Linear(dim, classes)

    def forward(self, ids):
        return self.linear(self.drop(self.embedding(ids)))


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(t, PARTS[b]) for t, b in verses(9000, seed=seed) if b in PARTS]
    n = int(0.8 * len(rows))
    train_texts, test_texts = [t for t, _ in rows[:n]], [t for t, _ in rows[n:]]
    labels = torch.tensor([p for _, p in rows])
    words = vocabulary(train_texts)
    x_train = encode(train_texts, words)
    x_test = encode(test_texts, vocabulary(test_texts))
    model = FastText(len(words) + 2)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3),
        "train": (x_train, labels[:n]),
        "valid": (x_test, labels[n:]),
        "batch_size": 64,
        "epochs": 10,
    }
