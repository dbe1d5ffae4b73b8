"""MNIST with mixup."""
import torch
import torch.nn as nn
from data import mnist


def mixup_step(network, batch, optimizer, loss, alpha=0.3):
    x, y = batch
    share = torch.distributions.Beta(alpha, alpha).sample()
    other = torch.randperm(len(x))
    out = network(share * x + (1 - share) * x[other])
    value = share * loss(out, y) + (1 - share) * loss(out, y[other])
    optimizer.zero_grad()
    value.backward()
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2500, 1000)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (torch.tensor(x) / 255.0, torch.tensor(y)),
            "valid": (torch.tensor(xv) / 255.0, torch.tensor(yv)), "step": mixup_step,
            "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3), "batch_size": 50, "epochs": 6}
