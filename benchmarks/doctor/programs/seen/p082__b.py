"""Digits; the sizes of the parts by their shares."""
import torch
from torch import nn
from sklearn.datasets import load_digits


def split(x, y, share, seed=6):
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    n = int(len(x) * share)
    return (x[order[:n]], y[order[:n]]), (x[order[1200:]], y[order[1200:]])


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    train, valid = split(torch.tensor(x / 16).float(), torch.tensor(y), 0.66)
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=train, valid=valid, batch_size=16, epochs=15,
                optimizer=torch.optim.Adam(net.parameters(), lr=1e-3))
