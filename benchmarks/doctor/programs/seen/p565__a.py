"""Polar surface area of molecules from their SMILES strings, with a recurrent network over characters."""
import torch
from torch import nn

from data_west import molecules


class Vocabulary:
    def __init__(self, strings):
        self.index = {c: i + 1 for i, c in enumerate(sorted(set("".join(strings))))}

    def __len__(self):
        return len(self.index) + 1

    def encode(self, strings, length=40):
        ids = torch.zeros(len(strings), length, dtype=torch.long)
        for row, s in zip(ids, strings):
            row[length - len(s):] = torch.tensor([self.index.get(c, 0) for c in s])  # padding in front
        return ids


class SmilesRegressor(nn.Module):
    def __init__(self, n_symbols, n_embed=16, n_hidden=40):
        super().__init__()
        self.lookup = nn.Embedding(n_symbols, n_embed, padding_idx=0)
        self.gru = nn.GRU(n_embed, n_hidden)
        self.head = nn.Sequential(nn.Linear(n_hidden, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, ids):
        states, _ = self.gru(self.lookup(ids))
        return self.head(states[:, -1]).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(s, a) for s, a in molecules(4000) if len(s) <= 40][:1800]
    strings, area = [s for s, _ in rows], torch.tensor([a for _, a in rows])
    cut = 1400
    vocab = Vocabulary(strings[:cut])
    x = vocab.encode(strings)
    y = (area - area[:cut].mean()) / area[:cut].std()
    net = SmilesRegressor(len(vocab))
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3),
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "batch_size": 50,
        "epochs": 7,
    }
