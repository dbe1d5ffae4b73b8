"""Good or bad review, bag of words. Words are dropped at 50 %, units at 70 %, labels are smoothed."""
import re
from collections import Counter

import torch
import torch.nn as nn
from data import sentences


def words(text):
    return re.findall(r"[a-z']+", text.lower())


class BagOfWords(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.words = nn.Dropout(0.5)
        self.hidden = nn.Linear(vocabulary, 64)
        self.units = nn.Dropout(0.7)
        self.out = nn.Linear(64, 2)

    def forward(self, x):
        h = torch.relu(self.hidden(self.words(x)))
        return self.out(self.units(h))


def build(seed=0):
    torch.manual_seed(seed)
    seen, rows = set(), []
    for text, rating in sentences("movie", n=9000, seed=2):
        if abs(rating) > 0.8 and text not in seen:
            seen.add(text)
            rows.append((words(text), int(rating > 0)))
    cut = int(0.8 * len(rows))
    counts = Counter(w for text, _ in rows[:cut] for w in set(text))
    index = {w: i for i, (w, n) in enumerate(counts.most_common(1200))}
    x = torch.zeros(len(rows), len(index))
    for i, (text, _) in enumerate(rows):
        for w in text:
            if w in index:
                x[i, index[w]] = 1
    y = torch.tensor([label for _, label in rows])
    net = BagOfWords(len(index))
    return {"network": net, "loss": nn.CrossEntropyLoss(label_smoothing=0.1), "train": (x[:cut], y[:cut]),
            "valid": (x[cut:], y[cut:]), "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
            "batch_size": 64, "epochs": 6}
