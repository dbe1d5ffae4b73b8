"""Harmonize: the bass of a Bach chorale from the three upper voices, one label a quarter note."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import chorales

STEPS = 16
LOW = 36  # C2


class BassTagger(nn.Module):
    def __init__(self, n_pitch=61, n_bass=32, d=48):
        super().__init__()
        self.voices = nn.ModuleList([nn.Embedding(n_pitch, d) for _ in range(3)])
        self.position = nn.Parameter(torch.randn(STEPS, d) * 0.02)
        layer = nn.TransformerEncoderLayer(d, nhead=4, dim_feedforward=96, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=1)
        self.output = nn.Linear(d, n_bass)

    def forward(self, upper):
        h = self.position + sum(table(upper[..., v]) for v, table in enumerate(self.voices))
        return F.log_softmax(self.output(self.encoder(h)), dim=1)


def criterion(log_probs, bass):
    return F.nll_loss(log_probs.reshape(-1, log_probs.size(-1)), bass.reshape(-1))


def build(seed=0):
    torch.manual_seed(seed)
    pitch = chorales(64000)[::4].astype(np.int64)
    whole = len(pitch) // STEPS
    pieces = pitch[: whole * STEPS].reshape(whole, STEPS, 4)
    upper = torch.tensor(np.clip(pieces[:, :, :3] - LOW + 1, 0, 60))
    bass = torch.tensor(np.clip(pieces[:, :, 3] - LOW + 1, 0, 31))
    cut = int(0.85 * whole)
    net = BassTagger()
    return {"network": net, "loss": criterion, "train": (upper[:cut], bass[:cut]), "valid": (upper[cut:], bass[cut:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 25, "epochs": 8}
