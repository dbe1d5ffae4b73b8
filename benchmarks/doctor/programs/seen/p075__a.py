"""Sounds of letters: a bidirectional LSTM over a word, one phoneme a letter."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import pronunciations


def load(max_len=10):
    rows = [(w, p) for w, p in pronunciations(9000, seed=2) if len(w) == len(p)]
    phones = sorted({q for _, p in rows for q in p})
    x = torch.zeros(len(rows), max_len, dtype=torch.long)
    y = torch.full((len(rows), max_len), -100)
    for i, (w, p) in enumerate(rows):
        x[i, : len(w)] = torch.tensor([ord(c) - 96 for c in w])
        y[i, : len(p)] = torch.tensor([phones.index(q) for q in p])
    return x, y, len(phones)


class BiLSTMTagger(nn.Module):
    def __init__(self, tags, h=32):
        super().__init__()
        self.emb = nn.Embedding(27, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, h, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(2 * h, tags)

    def forward(self, x):
        lengths = (x > 0).sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(self.emb(x), lengths, batch_first=True, enforce_sorted=False)
        h, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.out(self.drop(h))


def loss(scores, tags):
    return F.cross_entropy(scores.transpose(1, 2), tags, ignore_index=-100)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, tags = load()
    cut = int(0.8 * len(x))
    net = BiLSTMTagger(tags)
    return dict(network=net, loss=loss, train=(x[:cut], y[:cut]), valid=(x[cut:], y[cut:]), batch_size=32, epochs=8,
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3))
