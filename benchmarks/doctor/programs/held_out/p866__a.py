# Harmonize a chorale: the soprano is given, alto, tenor and bass are to be written, beat by beat.
import torch
from torch import nn
import torch.nn.functional as F
from data import chorales

VOICES = ("alto", "tenor", "bass")
LOWEST, PITCHES, BEATS = 33, 50, 16      # class 0 is a rest


class Harmonizer(nn.Module):
    def __init__(self, emb=24, hidden=64):
        super().__init__()
        self.emb = nn.Embedding(PITCHES, emb)
        self.gru = nn.GRU(emb, hidden, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.3)
        self.heads = nn.ModuleDict({voice: nn.Linear(2 * hidden, PITCHES) for voice in VOICES})

    def forward(self, soprano):
        h, _ = self.gru(self.emb(soprano))
        h = self.drop(h)
        return torch.stack([self.heads[voice](h) for voice in VOICES], dim=2)     # batch, beat, voice, pitch


def voices_loss(scores, target):
    return F.cross_entropy(scores.flatten(0, 2), target.flatten())


def phrases():
    roll = torch.as_tensor(chorales(80_000)[::4]).long()     # every fourth sixteenth: the beats
    roll = torch.where(roll < 0, torch.zeros_like(roll), roll - LOWEST + 1)
    n = len(roll) // BEATS
    return roll[: n * BEATS].view(n, BEATS, 4)


def build(seed=0):
    torch.manual_seed(seed)
    bars = phrases()
    cut = int(0.85 * len(bars))              # the last chorales of the collection are kept for validation
    net = Harmonizer()
    opt = torch.optim.Adam(net.parameters(), lr=4e-3)
    return dict(network=net, loss=voices_loss, optimizer=opt, batch_size=32, epochs=14,
                train=(bars[:cut, :, 0], bars[:cut, :, 1:]), valid=(bars[cut:, :, 0], bars[cut:, :, 1:]))
