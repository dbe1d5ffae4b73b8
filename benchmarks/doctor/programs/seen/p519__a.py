"""Is it a girl's name or a boy's?  Bidirectional GRU over letters."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader

from data_east import given_names

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def collate(items):
    tensors = [torch.tensor([LETTERS.index(c) + 1 for c in name]) for name, _ in items]
    label = torch.tensor([[1.0 if sex == "F" else 0.0] for _, sex in items])
    lengths = torch.tensor([len(t) for t in tensors])
    padded = nn.utils.rnn.pad_sequence(tensors, batch_first=True)
    return torch.cat([lengths[:, None], padded], dim=1), label


class NameGRU(nn.Module):
    def __init__(self, emb=16, units=32):
        super().__init__()
        self.units = units
        self.embedding = nn.Embedding(len(LETTERS) + 1, emb, padding_idx=0)
        self.gru = nn.GRU(emb, units, batch_first=True, bidirectional=True)
        self.fc = nn.Sequential(nn.Linear(2 * units, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, batch):
        lengths, letters = batch[:, 0], batch[:, 1:]
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(letters), lengths, batch_first=True, enforce_sorted=False
        )
        _, h_n = self.gru(packed)
        h = h_n.transpose(0, 1).reshape(letters.size(0), 2 * self.units)
        return self.fc(h)


def build(seed=0):
    torch.manual_seed(seed)
    rows = given_names(3000)
    loaders = {
        "train": DataLoader(rows[:2400], 32, True, collate_fn=collate, generator=torch.Generator().manual_seed(seed)),
        "valid": DataLoader(rows[2400:], 100, collate_fn=collate),
    }
    model = NameGRU()
    return {"network": model, "loss": nn.BCEWithLogitsLoss(), **loaders, "batch_size": 32, "epochs": 6,
            "optimizer": torch.optim.Adam(model.parameters(), lr=4e-3)}
