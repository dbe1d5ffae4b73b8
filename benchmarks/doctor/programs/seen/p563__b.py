"""A language model of Bach's sopranos: from each sixteenth, the next one.

The melody is cut into pieces of 32; the tagger emits, at every position, scores for the pitch that follows.
"""
import numpy as np
import torch
from torch import nn

from data import chorales

PIECE, LOW, N_PITCH = 32, 55, 30  # 0 is for rests


class MelodyModel(nn.Module):
    def __init__(self, n_hidden=48, n_layers=1):
        super().__init__()
        self.embed = nn.Embedding(N_PITCH, 16)
        self.rnn = nn.LSTM(16, n_hidden, n_layers, batch_first=True, bidirectional=True)
        width = n_hidden * (2 if self.rnn.bidirectional else 1)
        self.readout = nn.Sequential(nn.Dropout(0.1), nn.Linear(width, N_PITCH))

    def forward(self, tokens):
        states, _ = self.rnn(self.embed(tokens))
        return self.readout(states)


def next_pitch_loss(scores, target):
    return nn.functional.cross_entropy(scores.transpose(1, 2), target)


def build(seed=0):
    torch.manual_seed(seed)
    soprano = chorales(40000)[:, 0].astype(np.int64)
    tokens = np.where(soprano < 0, 0, np.clip(soprano - LOW, 1, N_PITCH - 1))
    tokens = tokens[::2]  # eighths
    n = (len(tokens) - 1) // PIECE
    x = torch.from_numpy(tokens[: n * PIECE].reshape(n, PIECE).copy())
    y = torch.from_numpy(tokens[1 : n * PIECE + 1].reshape(n, PIECE).copy())
    cut = int(0.8 * n)
    net = MelodyModel()
    return {
        "network": net,
        "loss": next_pitch_loss,
        "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3),
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "batch_size": 16,
        "epochs": 8,
    }
