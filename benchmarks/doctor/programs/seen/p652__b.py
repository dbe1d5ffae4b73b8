"""Polar surface of a molecule from its SMILES string, character by character."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from data_birch import molecules


class Smiles(Dataset):
    def __init__(self, rows, chars, mean, std, width=60):
        self.rows, self.chars, self.mean, self.std, self.width = rows, chars, mean, std, width

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        text, value = self.rows[i]
        ids = torch.zeros(self.width, dtype=torch.long)
        ids[: len(text)] = torch.tensor([self.chars.find(c) + 1 for c in text])
        return ids, torch.tensor((value - self.mean) / self.std)


class LogCosh(nn.Module):
    """Smooth absolute error."""

    def forward(self, prediction, target):
        gap = prediction - target
        return (gap + F.softplus(-2.0 * gap) - 0.6931472).mean()


class SmilesCNN(nn.Module):
    def __init__(self, n_chars):
        super().__init__()
        self.emb = nn.Embedding(n_chars + 1, 12, padding_idx=0)
        self.conv1 = nn.Conv1d(12, 32, 3, padding=1)
        self.conv2 = nn.Conv1d(32, 32, 3, padding=1)
        self.head = nn.Linear(32, 1)

    def forward(self, ids):
        h = self.emb(ids).transpose(1, 2)
        h = F.relu(self.conv1(h))
        h = F.relu(self.conv2(h)) * (ids > 0).unsqueeze(1)
        return self.head(h.sum(-1) / 10).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = molecules(2400)
    fit, held = rows[:2000], rows[2000:]
    chars = "".join(sorted({c for s, _ in fit for c in s}))
    values = torch.tensor([v for _, v in fit])
    made = [Smiles(part, chars, values.mean().item(), values.std().item()) for part in (fit, held)]
    net = SmilesCNN(len(chars))
    return {
        "network": net,
        "loss": LogCosh(),
        "train": DataLoader(made[0], batch_size=50, shuffle=True),
        "valid": DataLoader(made[1], batch_size=100),
        "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 8,
    }
