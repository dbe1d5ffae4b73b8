"""Is the tweet in a good mood? Kim's convolutional network over word vectors that start from co-occurrences."""
import re
from collections import Counter

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import sentences


def words_of(text):
    return re.findall(r"[a-z']+|[!?]|[:;=][-']?[()dp]", text.lower())


def cooccurrence_vectors(lines, index, dim):
    """Left singular vectors of the neighbours' counts (window of two)."""
    counts = np.zeros((len(index) + 1, len(index) + 1))
    for line in lines:
        ids = [index[w] for w in line if w in index]
        for gap in (1, 2):
            for a, b in zip(ids, ids[gap:]):
                counts[a, b] += 1
                counts[b, a] += 1
    u, s, _ = np.linalg.svd(np.log1p(counts))
    return torch.tensor(u[:, :dim] * np.sqrt(s[:dim])).float()


class TextCNN(nn.Module):
    def __init__(self, n_words, dim=16, filters=16):
        super().__init__()
        self.embed = nn.Embedding(n_words + 1, dim, padding_idx=0)
        self.convs = nn.ModuleList([nn.Conv1d(dim, filters, k, padding=k // 2) for k in (1, 3)])
        self.fc = nn.Linear(2 * filters, 1)

    def load_vectors(self, vectors):
        self.embed = nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)

    def forward(self, ids):
        x = self.embed(ids).transpose(1, 2)
        pooled = [F.relu(conv(x)).amax(-1) for conv in self.convs]
        return self.fc(torch.cat(pooled, 1)).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(words_of(t), float(r > 0)) for t, r in sentences("tweet", n=3600, seed=3)]
    fit, held = rows[:2900], rows[2900:]
    common = Counter(w for line, _ in fit for w in line).most_common(900)
    index = {w: i + 1 for i, (w, _) in enumerate(common)}

    def tensors(part):
        x = torch.zeros(len(part), 20, dtype=torch.long)
        for i, (line, _) in enumerate(part):
            ids = [index[w] for w in line if w in index][:20]
            x[i, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        return x, torch.tensor([y for _, y in part])

    net = TextCNN(len(index))
    vectors = cooccurrence_vectors([line for line, _ in fit], index, 16)
    net.load_vectors(vectors)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    return {"network": net, "loss": nn.BCEWithLogitsLoss(), "train": tensors(fit), "valid": tensors(held),
            "optimizer": optimizer, "batch_size": 50, "epochs": 6}
