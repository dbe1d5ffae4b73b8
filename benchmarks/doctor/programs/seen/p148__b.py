"""Digits column by column with a GRU cell in a loop."""
import torch
from torch import nn
from sklearn.datasets import load_digits


class Loop(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.cell = nn.GRUCell(8, hidden)
        self.head = nn.Linear(hidden, 10)
        self.hidden = hidden

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden)
        for t in range(x.shape[2]):
            h = self.cell(x[:, :, t], h)
        return self.head(h)


def build(seed=0):
    torch.manual_seed(seed)
    d = load_digits()
    x, y = torch.tensor(d.images / 16).float(), torch.tensor(d.target)
    p = torch.randperm(len(x), generator=torch.Generator().manual_seed(14))
    x, y = x[p], y[p]
    net = Loop()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:1300], y[:1300]), "valid": (x[1300:], y[1300:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=0.01), "batch_size": 50, "epochs": 8}
