"""Satellite pixels with a deep network."""
import torch
import torch.nn as nn
from data import table


def dense(i, o):
    return nn.Sequential(nn.Linear(i, o), nn.ReLU())


class Deep(nn.Module):
    def __init__(self, d, k, width=32, depth=8):
        super().__init__()
        self.first = dense(d, width)
        self.middle = nn.Sequential(*[dense(width, width) for _ in range(depth)])
        self.last = nn.Linear(width, k)

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Satellite").sample(2800, random_state=77)
    y = torch.tensor(df.pop("classes").astype("category").cat.codes.to_numpy()).long()
    x = torch.tensor(df.to_numpy()).float()
    x = (x - x.mean(0)) / x.std(0)
    model = Deep(36, 6)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x[:2000], y[:2000]), "valid": (x[2000:], y[2000:]),
            "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3), "batch_size": 40, "epochs": 8}
