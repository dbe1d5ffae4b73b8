"""Spelling and sound in one space: two encoders, matched within the batch (InfoNCE, as in CLIP).

Every word of the batch is the negative of all others. Reported: how often the right sound is nearest among 250.
"""
import torch
import torch.nn.functional as F
from torch import nn

from data import pronunciations


class Side(nn.Module):
    def __init__(self, symbols, dim=48):
        super().__init__()
        self.symbol = nn.Embedding(symbols, 24, padding_idx=0)
        self.conv = nn.Conv1d(24, 64, 3, padding=1)
        self.proj = nn.Linear(64, dim, bias=False)

    def forward(self, ids):
        h = torch.relu(self.conv(self.symbol(ids).transpose(1, 2)))
        return F.normalize(self.proj(h.amax(2)), dim=1)


class SpellSound(nn.Module):
    def __init__(self, n_letters, n_phones):
        super().__init__()
        self.spell, self.sound = Side(n_letters), Side(n_phones)
        self.log_temperature = nn.Parameter(torch.tensor(2.0))

    def forward(self, letters, phones):
        return self.log_temperature.exp() * self.spell(letters) @ self.sound(phones).T


def clip_loss(network, batch):
    logits = network(*batch)
    match = torch.arange(len(logits))
    return (F.cross_entropy(logits, match) + F.cross_entropy(logits.T, match)) / 2


@torch.no_grad()
def retrieval(network, valid):
    network.eval()
    letters, phones = (part[:250] for part in valid)
    return (network(letters, phones).argmax(1) == torch.arange(250)).float().mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    rows = pronunciations(2400)
    phones = {p: i + 1 for i, p in enumerate(sorted({p for _, ps in rows for p in ps}))}
    a, b = torch.zeros(len(rows), 10, dtype=torch.long), torch.zeros(len(rows), 14, dtype=torch.long)
    for i, (word, ps) in enumerate(rows):
        a[i, : len(word)] = torch.tensor([ord(c) - 96 for c in word])
        b[i, : len(ps[:14])] = torch.tensor([phones[p] for p in ps[:14]])
    net = SpellSound(27, len(phones) + 1)
    return {
        "network": net,
        "objective": clip_loss,
        "optimizer": torch.optim.AdamW(net.parameters(), lr=3e-3),
        "train": (a[:2000], b[:2000]),
        "valid": (a[2000:], b[2000:]),
        "batch_size": 80,
        "epochs": 10,
        "evaluate": retrieval,
    }
