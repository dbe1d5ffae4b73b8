"""Spoken digits that should not depend on the speaker.

Ganin and Lempitsky's gradient reversal: a second head guesses who speaks; on the way back its gradient changes sign,
so the head learns to tell the men apart while the features learn to hide them.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from data_dahlia import spoken


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -ctx.strength * grad, None


class SpeakerBlind(nn.Module):
    def __init__(self, bands=20, ch=32, strength=0.1):
        super().__init__()
        self.strength = strength
        self.features = nn.Sequential(
            nn.Conv1d(bands, ch, 5, padding=2), nn.BatchNorm1d(ch), nn.ReLU(), nn.MaxPool1d(2), nn.Dropout(0.2),
            nn.Conv1d(ch, 2 * ch, 5, padding=2), nn.BatchNorm1d(2 * ch), nn.ReLU(), nn.MaxPool1d(2), nn.Dropout(0.2),
        )
        self.digit = nn.Linear(2 * 2 * ch, 10)
        self.speaker = nn.Sequential(nn.Linear(2 * 2 * ch, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, sound):
        h = self.features(sound.transpose(1, 2))
        first, second = h.chunk(2, dim=2)
        h = torch.cat([first.amax(2), second.amax(2)], 1)
        return self.digit(h), self.speaker(Reverse.apply(h, self.strength))


def objective(network, batch):
    sound, digit, who = batch
    digits, speakers = network(sound)
    return F.cross_entropy(digits, digit) + F.cross_entropy(speakers, who)


@torch.no_grad()
def evaluate(network, valid):
    network.eval()
    hits = [(network(sound)[0].argmax(1) == digit).float() for sound, digit in valid]
    return torch.cat(hits).mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    x, n, digit, who, take = (torch.as_tensor(a) for a in spoken())
    real = (torch.arange(x.shape[1]) < n[:, None]).unsqueeze(-1)
    new = take < 5  # the archive's own test part
    frames = x[~new][real[~new].squeeze(-1)]
    x = (x - frames.mean(0)) / frames.std(0) * real
    model = SpeakerBlind()
    return dict(network=model, objective=objective, evaluate=evaluate, batch_size=36, epochs=25,
                train=DataLoader(TensorDataset(x[~new], digit[~new], who[~new]), batch_size=36, shuffle=True),
                valid=DataLoader(TensorDataset(x[new], digit[new]), batch_size=50),
                optimizer=torch.optim.Adam(model.parameters(), lr=2e-3))
