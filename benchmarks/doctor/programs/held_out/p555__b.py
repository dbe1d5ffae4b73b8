"""Which notes sound half a beat later? Bach's chorales as a piano roll, several notes at once.

The last two beats (eight sixteenths) go in, the chord half a beat ahead comes out as one yes/no a pitch.
"""
import numpy as np
import torch
from torch import nn

from data import chorales

LOW, HIGH, CONTEXT, AHEAD = 36, 82, 8, 2


def piano_roll(pitch):
    roll = np.zeros((len(pitch), HIGH - LOW), dtype=np.float32)
    for voice in range(4):
        sounding = pitch[:, voice] >= LOW
        roll[np.where(sounding)[0], pitch[sounding, voice] - LOW] = 1
    return roll


def samples(roll):
    starts = np.arange(0, len(roll) - CONTEXT - AHEAD, 2)
    x = np.stack([roll[s:s + CONTEXT].ravel() for s in starts])
    y = np.stack([roll[s + CONTEXT + AHEAD - 1] for s in starts])
    return torch.from_numpy(x), torch.from_numpy(y)


class ChordNet(nn.Module):
    def __init__(self, n_pitches=HIGH - LOW, hidden=128):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(CONTEXT * n_pitches, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Sequential(nn.Linear(hidden, n_pitches), nn.Sigmoid())

    def forward(self, x):
        return self.head(self.body(x))


@torch.no_grad()
def micro_f1(net, valid):
    net.eval()
    x, y = valid
    said = net(x) > 0.5
    true = y > 0.5
    return 2 * (said & true).sum().item() / max((said.sum() + true.sum()).item(), 1)


def build(seed=0):
    torch.manual_seed(seed)
    roll = piano_roll(chorales(16000).astype(int))
    net = ChordNet()
    return {
        "network": net,
        "loss": nn.BCELoss(),
        "train": samples(roll[:13000]),
        "valid": samples(roll[13000:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 8,
        "evaluate": micro_f1,
    }
