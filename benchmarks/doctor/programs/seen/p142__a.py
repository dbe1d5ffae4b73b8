"""Clothes: one-hot targets, cross-entropy written with log_softmax."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion


def soft_cross_entropy(logits, target):
    return -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def one_hot(y):
    return F.one_hot(torch.tensor(y), 10).float()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 800)
    x, xv = (torch.tensor(a).float().flatten(1) / 255 for a in (x, xv))
    net = nn.Sequential(nn.Linear(784, 64), nn.SiLU(), nn.Linear(64, 10))
    return {"network": net, "loss": soft_cross_entropy, "train": (x, one_hot(y)), "valid": (xv, one_hot(yv)),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 50, "epochs": 6}
