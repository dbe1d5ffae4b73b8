"""How many sounds has a word? Poisson regression from its letters (CMU dictionary), 1-d convolution."""
import torch
from torch import nn

from data import pronunciations


class CountSounds(nn.Module):
    def __init__(self, channels=32):
        super().__init__()
        self.letters = nn.Embedding(27, 12, padding_idx=0)
        self.conv1 = nn.Conv1d(12, channels, 3, padding=1)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)
        self.per_place = nn.Linear(channels, 1)

    def forward(self, x):
        present = (x > 0).float()
        h = self.letters(x).transpose(1, 2)
        h = torch.relu(self.conv1(h))
        h = torch.relu(self.conv2(h)).transpose(1, 2)
        rate = nn.functional.softplus(self.per_place(h)).squeeze(-1) * present
        return rate.sum(dim=1)


def as_tensors(rows):
    x = torch.zeros(len(rows), 10, dtype=torch.long)
    for i, (word, _) in enumerate(rows):
        x[i, :len(word)] = torch.tensor([ord(c) - ord("a") + 1 for c in word])
    return x, torch.tensor([float(len(sounds)) for _, sounds in rows])


def build(seed=0):
    torch.manual_seed(seed)
    rows = pronunciations(3000)
    model = CountSounds()
    return {
        "network": model,
        "loss": nn.PoissonNLLLoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
        "train": as_tensors(rows[:2400]),
        "valid": as_tensors(rows[2400:]),
        "batch_size": 48,
        "epochs": 8,
    }
