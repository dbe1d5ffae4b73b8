# Which pitch classes sound an eighth later? Bach chorales, multi-label over the 12 semitones.
import numpy as np
import torch
import torch.nn as nn
from data import chorales

CONTEXT = 8     # sixteenths that the model sees
AHEAD = 2


def pitch_classes(voices):
    roll = np.zeros((len(voices), 12), dtype=np.float32)
    for v in range(4):
        rows = np.flatnonzero(voices[:, v] >= 0)
        roll[rows, voices[rows, v] % 12] = 1.0
    return roll


def windows(roll):
    last = len(roll) - CONTEXT - AHEAD + 1
    xs = np.stack([roll[t:t + CONTEXT].ravel() for t in range(0, last, 2)])
    ys = np.stack([roll[t + CONTEXT + AHEAD - 1] for t in range(0, last, 2)])
    return torch.from_numpy(xs), torch.from_numpy(ys)


class Harmony(nn.Module):
    def __init__(self, hidden=128):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(12 * CONTEXT, hidden), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 12),
            nn.Sigmoid())

    def forward(self, x):
        return self.net(x)


def micro_f1(model, valid):
    model.eval()
    x, y = valid
    with torch.no_grad():
        guess = (model(x) > 0.5).float()
    hits = (guess * y).sum()
    return (2 * hits / (guess.sum() + y.sum()).clamp(min=1)).item()


def build(seed=0):
    torch.manual_seed(seed)
    voices = chorales(16000)
    x, y = windows(pitch_classes(voices[:12000]))
    xv, yv = windows(pitch_classes(voices[12000:]))
    model = Harmony()
    return dict(network=model, loss=nn.BCELoss(), evaluate=micro_f1, train=(x, y), valid=(xv, yv), batch_size=64, epochs=10,
                optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))
