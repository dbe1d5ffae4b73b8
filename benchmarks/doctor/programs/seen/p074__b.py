"""Is a letter spoken as a vowel? GRU in time-major layout."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import pronunciations

VOWEL = set("AEIOU")


def dataset(length=8):
    x, y = [], []
    for word, phones in pronunciations(8000, seed=3):
        if len(word) == len(phones) and len(word) <= length:
            pad = length - len(word)
            x.append([ord(c) - 96 for c in word] + [0] * pad)
            y.append([int(p[0] in VOWEL) for p in phones] + [-1] * pad)
    return torch.tensor(x), torch.tensor(y)


class TimeMajorGRU(nn.Module):
    def __init__(self, h=24):
        super().__init__()
        self.h = h
        self.embedding = nn.Embedding(27, 8, padding_idx=0)
        self.gru = nn.GRU(8, h, bidirectional=True)
        self.linear = nn.Linear(2 * h, 2)

    def forward(self, x):
        batch, length = x.shape
        states, _ = self.gru(self.embedding(x.t()))
        states = states.transpose(0, 1)
        return self.linear(states)


def loss(logits, tags):
    return F.cross_entropy(logits.reshape(-1, 2), tags.reshape(-1), ignore_index=-1)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = dataset()
    n = int(len(x) * 0.8)
    net = TimeMajorGRU()
    return dict(network=net, loss=loss, train=(x[:n], y[:n]), valid=(x[n:], y[n:]), batch_size=32, epochs=5,
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3))
