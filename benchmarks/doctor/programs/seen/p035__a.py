"""Musk or not: probability from a sigmoid, cross-entropy written out."""
import torch
from torch import nn
from data import table


def bce(p, t, eps=1e-6):
    return -(t * torch.log(p + eps) + (1 - t) * torch.log(1 - p + eps)).mean()


class MuskNet(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(d, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return torch.sigmoid(self.body(x))[:, 0]


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Musk1").sample(frac=1, random_state=2)
    label = df.columns[-1]
    y = torch.tensor((df.pop(label).astype("category").cat.codes > 0).to_numpy(), dtype=torch.float32)
    x = torch.tensor(df.to_numpy(), dtype=torch.float32)
    x = (x - x[:350].mean(0)) / x[:350].std(0)
    net = MuskNet(x.shape[1])
    return {"network": net, "loss": bce, "train": (x[:350], y[:350]), "valid": (x[350:], y[350:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 25, "epochs": 15}
