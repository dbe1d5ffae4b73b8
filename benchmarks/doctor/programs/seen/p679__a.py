"""Finding the Italians among surnames from all over. They are few, so a sampler draws them more often."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from data import names

ALPHABET = "abcdefghijklmnopqrstuvwxyz'- "


def as_tensors(rows, width=13):
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    for i, (name, _) in enumerate(rows):
        letters = [ALPHABET.find(c) + 2 for c in name.lower()][-width:]
        ids[i, width - len(letters) :] = torch.tensor(letters)  # names end at the right edge
    return ids, torch.tensor([float(k == 0) for _, k in rows])


class NameGRU(nn.Module):
    def __init__(self, dim=24, hidden=48, p=0.5):
        super().__init__()
        self.embed = nn.Embedding(len(ALPHABET) + 2, dim, padding_idx=0)
        self.gru = nn.GRU(dim, hidden, batch_first=True)
        self.drop = nn.Dropout(p)
        self.out = nn.Linear(hidden, 1)

    def forward(self, ids):
        _, h = self.gru(self.drop(self.embed(ids)))
        return self.out(self.drop(h[-1])).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    others = names(("ga_IE", "nl_NL", "hr_HR", "es_ES", "de_DE", "fr_FR"), n=330, seed=6)
    rows = names(("it_IT",), n=200, seed=6) + [(name, 1) for name, _ in others]
    rows = [rows[i] for i in torch.randperm(len(rows), generator=torch.Generator().manual_seed(6))]
    n = int(0.75 * len(rows))
    x, y = as_tensors(rows[:n])
    share = y.mean()
    weight = torch.where(y > 0, 0.5 / share, 0.5 / (1 - share))
    sampler = WeightedRandomSampler(weight.double(), num_samples=n, replacement=True)
    net = NameGRU()
    return {"network": net, "loss": nn.BCEWithLogitsLoss(),
            "train": DataLoader(TensorDataset(x, y), batch_size=40, sampler=sampler),
            "valid": DataLoader(TensorDataset(*as_tensors(rows[n:])), batch_size=200),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 40, "epochs": 10}
