# DNA: does an intron begin here, end here, or neither?
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import splice

MAXLEN = 24
KMER = 2


def pad_sequences(sequences, maxlen):
    """As keras.preprocessing.sequence.pad_sequences(..., padding='post', truncating='post')."""
    out = torch.zeros(len(sequences), maxlen, dtype=torch.long)
    for row, s in zip(out, sequences):
        s = s[:maxlen]
        row[: len(s)] = torch.as_tensor(s)
    return out


def kmers(bases):
    """Overlapping pairs of letters as words 1..16."""
    return [[1 + 4 * int(a) + int(b) for a, b in zip(s[:-1], s[1:])] for s in bases]


class TextCNN(nn.Module):
    def __init__(self, vocab=17, dim=12, filters=24, classes=3):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim, padding_idx=0)
        self.convs = nn.ModuleList([nn.Conv1d(dim, filters, k, padding=k // 2) for k in (3, 5, 9)])
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(3 * filters * (MAXLEN // 6), classes)

    def forward(self, x):
        e = self.emb(x).transpose(1, 2)
        maps = [F.max_pool1d(F.relu(c(e)), 6) for c in self.convs]
        return self.fc(self.drop(torch.cat(maps, dim=1).flatten(1)))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = splice(2600, seed=4)
    x = pad_sequences(kmers(x), MAXLEN)
    y = torch.as_tensor(y)
    net = TextCNN()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:2000], y[:2000]), valid=(x[2000:], y[2000:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), batch_size=50, epochs=8)
