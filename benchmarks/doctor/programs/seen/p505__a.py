"""Which Romance language is it? Bags of words from the Declaration of Human Rights."""
import random
from collections import Counter

import torch
from torch import nn

from data_east import declarations

LANGUAGES = ("spa", "por", "ita", "fra", "cat", "ron")
MAX_LEN = 40


class Vocabulary:
    def __init__(self, min_count=2):
        self.min_count = min_count
        self.index = {}

    def fit(self, texts):
        counts = Counter(word for text in texts for word in text.lower().split())
        kept = [w for w, c in counts.most_common() if c >= self.min_count]
        self.index = {w: i + 2 for i, w in enumerate(kept)}
        return self

    def transform(self, texts):
        rows = torch.zeros(len(texts), MAX_LEN, dtype=torch.long)
        for i, text in enumerate(texts):
            ids = [self.index.get(w, 1) for w in text.lower().split()[:MAX_LEN]]
            rows[i, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        return rows

    def fit_transform(self, texts):
        return self.fit(texts).transform(texts)

    def __len__(self):
        return len(self.index) + 2


class BagOfWords(nn.Module):
    def __init__(self, words, classes):
        super().__init__()
        self.embed = nn.Embedding(words, 32, padding_idx=0)
        self.out = nn.Linear(32, classes)

    def forward(self, ids):
        known = (ids > 0).unsqueeze(-1)
        mean = (self.embed(ids) * known).sum(1) / known.sum(1).clamp(min=1)
        return self.out(mean)


def build(seed=0):
    torch.manual_seed(seed)
    rows = declarations(LANGUAGES)
    articles = sorted({section for _, section, _ in rows})
    random.Random(3).shuffle(articles)
    held_out = set(articles[: len(articles) // 3])
    texts = {part: [t for _, s, t in rows if (s in held_out) == part] for part in (False, True)}
    labels = {p: torch.tensor([LANGUAGES.index(c) for c, s, _ in rows if (s in held_out) == p]) for p in (False, True)}

    vocab = Vocabulary()
    x_train = vocab.fit_transform(texts[False])
    x_valid = vocab.transform(texts[True])

    net = BagOfWords(len(vocab), len(LANGUAGES))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x_train, labels[False]),
            "valid": (x_valid, labels[True]), "optimizer": torch.optim.Adam(net.parameters(), lr=0.02),
            "batch_size": 16, "epochs": 15}
