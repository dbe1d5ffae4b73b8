"""Harmonize: which pitch class does the bass play under soprano, alto and tenor? One answer a sixteenth, bidirectional GRU."""
import torch
import torch.nn as nn

from data import chorales


class Harmonizer(nn.Module):
    def __init__(self, pitches=48, dim=16, hidden=40, classes=13):
        super().__init__()
        self.voices = nn.ModuleList([nn.Embedding(pitches, dim) for _ in range(3)])
        self.rnn = nn.GRU(3 * dim, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, classes)

    def forward(self, x):  # (batch, time, 3)
        e = torch.cat([emb(x[..., i]) for i, emb in enumerate(self.voices)], dim=-1)
        h, _ = self.rnn(e)
        return self.out(h)


def criterion(logits, tags):
    # CrossEntropyLoss wants the classes on axis 1
    b, t, c = logits.shape
    return nn.functional.cross_entropy(logits.view(b, c, t), tags)


def build(seed=0):
    torch.manual_seed(seed)
    score = torch.from_numpy(chorales(20_000)).long()
    rest = score < 0
    upper = (score[:, :3] - 40).clamp(0, 46) + 1
    upper[rest[:, :3]] = 0
    bass = score[:, 3] % 12
    bass[rest[:, 3]] = 12
    x = upper.view(-1, 32, 3)
    y = bass.view(-1, 32)
    cut = 500
    net = Harmonizer()
    return {
        "network": net,
        "loss": criterion,
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3),
        "batch_size": 20,
        "epochs": 12,
    }
