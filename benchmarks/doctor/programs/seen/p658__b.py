"""Antimicrobial peptides: convolutions with an attention readout. Small batches are added up to save memory."""
import torch
from torch import nn
from torch.utils.data import DataLoader

from data import peptides

ALPHABET = {a: i + 1 for i, a in enumerate("ACDEFGHIKLMNPQRSTVWY")}
LONGEST = 50
ACCUMULATE = 4


def collate(rows):
    ids = torch.zeros(len(rows), LONGEST, dtype=torch.long)
    for i, (s, _) in enumerate(rows):
        ids[i, : len(s)] = torch.tensor([ALPHABET.get(c, 0) for c in s[:LONGEST]])
    return ids, torch.tensor([float(k) for _, k in rows])


class PeptideConv(nn.Module):
    def __init__(self, dim=20, hidden=40):
        super().__init__()
        self.emb = nn.Embedding(21, dim, padding_idx=0)
        self.near = nn.Conv1d(dim, hidden, 5, padding=2)
        self.far = nn.Conv1d(hidden, hidden, 3, padding=2, dilation=2)
        self.score = nn.Linear(hidden, 1)
        self.out = nn.Linear(hidden, 1)

    def forward(self, ids):
        h = torch.relu(self.near(self.emb(ids).transpose(1, 2)))
        h = torch.relu(self.far(h)).transpose(1, 2)
        a = self.score(h).squeeze(-1).masked_fill(ids == 0, -1e9).softmax(dim=1)
        return self.out((a.unsqueeze(-1) * h).sum(1)).squeeze(-1)


class Stepper:
    def __init__(self):
        self.seen = 0

    def __call__(self, network, batch, optimizer, loss):
        x, y = batch
        (loss(network(x), y) / ACCUMULATE).backward()
        self.seen += 1
        if self.seen % ACCUMULATE == 0:
            optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    rows = peptides(1600, seed=1)
    net = PeptideConv()
    return {
        "network": net,
        "loss": nn.BCEWithLogitsLoss(),
        "train": DataLoader(rows[:1200], batch_size=16, shuffle=True, collate_fn=collate),
        "valid": DataLoader(rows[1200:], batch_size=64, collate_fn=collate),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9),
        "step": Stepper(),
        "batch_size": 16,
        "epochs": 10,
    }
