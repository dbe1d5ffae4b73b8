"""Girls' names and boys' names of five countries."""
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from data import names

BASE_LR = 3e-3


class NameNet(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.body = nn.ModuleDict({"embed": nn.Embedding(400, 12, padding_idx=0), "gru": nn.GRU(12, hidden, batch_first=True)})
        self.head = nn.Sequential(nn.Linear(hidden, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, ids):
        lengths = ids.ne(0).sum(1)
        packed = pack_padded_sequence(self.body["embed"](ids), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.body["gru"](packed)[1].squeeze(0)).squeeze(1)


def encode(name):
    ids = [min(ord(c), 399) for c in name.lower()[:12]]
    return ids + [0] * (12 - len(ids))


def build(seed=0):
    torch.manual_seed(seed)
    countries = ("en_US", "fr_FR", "it_IT", "es_ES", "de_DE")
    boys = {n for n, _ in names(countries, "M", n=350)}
    girls = {n for n, _ in names(countries, "F", n=350)}
    rows = sorted([(n, 0.0) for n in boys - girls] + [(n, 1.0) for n in girls - boys])
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(2)).tolist()
    x = torch.tensor([encode(rows[i][0]) for i in order])
    y = torch.tensor([rows[i][1] for i in order])
    n = int(0.8 * len(x))
    net = NameNet()
    optimizer = torch.optim.AdamW([
        {"params": net.head.parameters()},
        {"params": net.body.parameters(), "lr": BASE_LR},
    ], lr=BASE_LR)
    return {"network": net, "loss": nn.BCEWithLogitsLoss(), "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": optimizer, "batch_size": 32, "epochs": 10}
