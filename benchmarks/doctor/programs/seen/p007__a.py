"""Digits read row by row by an LSTM."""
import torch
from torch import nn
from sklearn.datasets import load_digits


class RowLSTM(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(8, hidden)
        self.out = nn.Linear(hidden, 10)

    def forward(self, x):
        h, _ = self.lstm(x)
        return self.out(h[:, -1])


def build(seed=0):
    torch.manual_seed(seed)
    images, y = load_digits().images / 16.0, load_digits().target
    x, y = torch.tensor(images, dtype=torch.float32), torch.tensor(y)
    p = torch.randperm(len(x), generator=torch.Generator().manual_seed(8))
    x, y = x[p], y[p]
    net = RowLSTM()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:1300], y[:1300]), "valid": (x[1300:], y[1300:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=0.01), "batch_size": 32, "epochs": 8}
