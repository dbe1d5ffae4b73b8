"""Diabetes in Pima women: drop incomplete rows, then a small network with dropout."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import table


class DiabetesNet(nn.Module):
    def __init__(self, n_in, n_hidden=24):
        super(DiabetesNet, self).__init__()
        self.fc1 = nn.Linear(n_in, n_hidden)
        self.fc2 = nn.Linear(n_hidden, n_hidden)
        self.fc3 = nn.Linear(n_hidden, 2)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        x = F.elu(self.fc1(x))
        x = self.drop(F.elu(self.fc2(x)))
        return self.fc3(x)


def read():
    df = table("PimaIndiansDiabetes2")
    features = df.drop(columns=["diabetes", "insulin"]).dropna()
    labels = df["diabetes"][: len(features)]
    return features.to_numpy("float32"), (labels == "pos").to_numpy("int64")


def build(seed=0):
    torch.manual_seed(seed)
    x, y = read()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(11))
    x, y = torch.from_numpy(x)[order], torch.from_numpy(y)[order]
    n = 380
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    net = DiabetesNet(x.shape[1])
    loader = lambda a, b, train: DataLoader(TensorDataset(a, b), batch_size=32, shuffle=train)
    return {
        "network": net,
        "loss": F.cross_entropy,
        "train": loader(x[:n], y[:n], True),
        "valid": loader(x[n:], y[n:], False),
        "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-3),
        "batch_size": 32,
        "epochs": 30,
    }
