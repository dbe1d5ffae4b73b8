"""Harmonize: the alto under a soprano line of Bach, sixteen sixteenths at a time."""
import torch
from torch import nn
from torch.nn import functional as F

from data import chorales

SPAN = 16


class Harmonizer(nn.Module):
    def __init__(self, low_in, n_in, n_out):
        super().__init__()
        self.low_in = low_in
        self.pitch = nn.Embedding(n_in + 1, 24)
        self.context = nn.Sequential(
            nn.Conv1d(48, 48, 5, padding=2), nn.ReLU(),
            nn.Conv1d(48, 48, 5, padding=2), nn.ReLU(),
        )
        self.alto = nn.Linear(48, n_out)

    def forward(self, soprano_and_bass):
        h = self.pitch(soprano_and_bass)  # batch, time, 2, 24
        h = self.context(h.flatten(2).transpose(1, 2)).transpose(1, 2)
        return F.log_softmax(self.alto(h), dim=2)


def nll(log_probs, alto):
    return F.nll_loss(log_probs.reshape(-1, log_probs.shape[-1]), alto.reshape(-1))


def build(seed=0):
    torch.manual_seed(seed)
    music = torch.from_numpy(chorales(24000).astype("int64"))
    music = music[(music >= 0).all(1)]
    music = music[: len(music) // SPAN * SPAN]
    low, high = int(music.min()), int(music.max())
    pieces = (music - low).reshape(-1, SPAN, 4)
    given, alto = pieces[:, :, [0, 3]], pieces[:, :, 1]
    first = int(alto.min())
    alto = alto - first
    cut = len(pieces) * 4 // 5
    net = Harmonizer(low, high - low, int(alto.max()) + 1)
    return {
        "network": net,
        "loss": nll,
        "train": (given[:cut], alto[:cut]),
        "valid": (given[cut:], alto[cut:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3),
        "batch_size": 16,
        "epochs": 8,
    }
