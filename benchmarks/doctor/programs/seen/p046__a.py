"""Digits; accuracy by hand."""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits


def accuracy(network, valid):
    network.eval()
    x, y = valid
    with torch.no_grad():
        scores = network(x)
    predicted = torch.argmax(scores, 1)
    hits = sum(int(p) == int(t) for p, t in zip(predicted, y))
    return hits / len(y)


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16.0, dtype=torch.float32), torch.tensor(digits.target)
    shuffle = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    x, y = x[shuffle], y[shuffle]
    net = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:1350], y[:1350]), "valid": (x[1350:], y[1350:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 45, "epochs": 8, "evaluate": accuracy}
