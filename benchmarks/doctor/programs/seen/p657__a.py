"""Splice junctions: motif detectors over 60 bases, joined to the share of each base, then a small classifier."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import splice


class MotifNet(nn.Module):
    def __init__(self, motifs=10, width=7):
        super().__init__()
        self.motifs = nn.Conv1d(4, motifs, width)
        self.mix = nn.Conv1d(motifs, 12, 5, stride=3)
        self.fc1 = nn.Linear(12 * 17 + 4, 24)
        self.fc2 = nn.Linear(24, 3)

    def scan(self, onehot):
        return F.relu(self.mix(F.relu(self.motifs(onehot)))).flatten(1)

    def forward(self, bases):
        onehot = F.one_hot(bases, 4).float().transpose(1, 2)
        share = onehot.mean(-1)
        features = torch.cat([self.scan(onehot), share], dim=1)
        return self.fc2(F.relu(self.fc1(features)))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = (torch.as_tensor(a) for a in splice(2600, seed=3))
    cut = 2000
    net = MotifNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:cut], y[:cut]), "valid": (x[cut:], y[cut:]),
            "optimizer": optimizer, "batch_size": 50, "epochs": 12}
