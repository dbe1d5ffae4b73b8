"""Where does a surname come from?  Letters, a GRU, and the mean of its states."""
import torch
import torch.nn.functional as F
from torch import nn

from data import names

PLACES = ["it_IT", "es_ES", "nl_NL", "hr_HR", "tr_TR", "id_ID"]
KINDS = {"tr_TR": "M", "id_ID": "M"}
LENGTH = 12


class Origin(nn.Module):
    def __init__(self, units=64, p=0.4):
        super().__init__()
        self.p = p
        self.letters = nn.Embedding(27, 24)
        self.gru = nn.GRU(24, units, batch_first=True, bidirectional=True)
        self.mix = nn.Linear(2 * units, units)
        self.out = nn.Linear(units, len(PLACES))

    def forward(self, x):
        z = self.letters(x)
        z = F.dropout(z, p=self.p, training=self.training)
        z, _ = self.gru(z)
        z = F.relu(self.mix(z.mean(1)))
        z = F.dropout(z, p=self.p, training=self.training)
        return self.out(z)


def encode(word):
    ids = [ord(c) - 96 for c in word.lower() if "a" <= c <= "z"][:LENGTH]
    return [0] * (LENGTH - len(ids)) + ids


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(w, k) for k, place in enumerate(PLACES) for w, _ in names((place,), KINDS.get(place, "L"), n=400)]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))
    x = torch.tensor([encode(w) for w, _ in rows])[order]
    y = torch.tensor([k for _, k in rows])[order]
    cut = len(x) * 3 // 4
    net = Origin()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:cut], y[:cut]), "valid": (x[cut:], y[cut:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 32, "epochs": 8}
