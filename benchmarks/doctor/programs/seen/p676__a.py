"""Digits that withstand small attacks: training on fast-gradient-sign examples."""
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

EPS = 0.08


def fgsm(network, x, y):
    x = x.clone().requires_grad_(True)
    F.cross_entropy(network(x), y).backward()
    return (x + EPS * x.grad.sign()).clamp(0, 1).detach()


def adversarial_step(network, batch, optimizer, loss):
    x, y = batch
    worse = fgsm(network, x, y)
    optimizer.zero_grad()
    total = 0.5 * loss(network(x), y) + 0.5 * loss(network(worse), y)
    total.backward()
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    x = torch.tensor(digits.data / 16).float()
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    fit, held = order[:1300], order[1300:]
    net = nn.Sequential(nn.Linear(64, 100), nn.ELU(), nn.Linear(100, 50), nn.ELU(), nn.Linear(50, 10))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[fit], y[fit]), "valid": (x[held], y[held]),
            "step": adversarial_step, "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3), "batch_size": 50,
            "epochs": 25}
