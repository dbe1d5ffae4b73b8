"""How moved were people by these tweets? Packed GRU, texts of a batch by falling length."""
import re
from collections import Counter

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset
from data import sentences


def tokenize(text):
    return re.findall(r"[a-z']+|[!?]|[:;=][-']?[()dp]", text.lower())


class Moods(Dataset):
    def __init__(self, rows, vocab):
        self.items = [(torch.tensor([vocab.get(w, 1) for w in tokenize(t)] or [1]), mood) for t, mood in rows]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, idx):
        return self.items[idx]


def collate(items):
    texts = sorted((ids for ids, _ in items), key=len, reverse=True)
    moods = torch.tensor([mood for _, mood in items])
    return pad_sequence(texts, batch_first=True), moods


class MoodGRU(nn.Module):
    def __init__(self, n_words, emb=24, hidden=24):
        super().__init__()
        self.embedding = nn.Embedding(n_words, emb, padding_idx=0)
        self.gru = nn.GRU(emb, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, ids):
        lengths = (ids != 0).sum(1)
        packed = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True)
        _, h_n = self.gru(packed)
        return self.linear(h_n[-1]).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = sentences("tweets", 3600)
    rows, held = rows[:2500], rows[2500:3200]
    counts = Counter(w for t, _ in rows for w in tokenize(t))
    vocab = {w: i + 2 for i, (w, c) in enumerate(counts.most_common()) if c > 1}
    model = MoodGRU(len(vocab) + 2)
    g = torch.Generator().manual_seed(seed)
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "train": DataLoader(Moods(rows, vocab), batch_size=32, shuffle=True, collate_fn=collate, generator=g),
        "valid": DataLoader(Moods(held, vocab), batch_size=100, collate_fn=collate),
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 32,
        "epochs": 6,
    }
