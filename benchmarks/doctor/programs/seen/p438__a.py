"""Clothes by a small CNN, trained by sharpness-aware minimization (Foret et al.)."""
import torch
from torch import nn

from data import fashion


class SAM:
    """Takes the gradient where the loss nearby is worst, and steps from where it was."""

    def __init__(self, rho=0.05):
        self.rho = rho

    def __call__(self, network, batch, optimizer, loss):
        x, y = batch
        parameters = [p for p in network.parameters() if p.requires_grad]
        optimizer.zero_grad()
        loss(network(x), y).backward()
        with torch.no_grad():
            norm = torch.stack([p.grad.norm() for p in parameters]).norm() + 1e-12
            kept = [p.clone() for p in parameters]
            for p in parameters:
                p.add_(p.grad, alpha=float(self.rho / norm))
        optimizer.zero_grad()
        loss(network(x), y).backward()
        with torch.no_grad():
            for p, old in zip(parameters, kept):
                p.copy_(old)
        optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = (torch.from_numpy(a) for a in fashion(2500, 1000))
    x, xv = ((a.float().unsqueeze(1) / 255 - 0.3) / 0.35 for a in (x, xv))
    net = nn.Sequential(
        nn.Conv2d(1, 12, 5, stride=2), nn.GroupNorm(3, 12), nn.ReLU(),
        nn.Conv2d(12, 24, 3, stride=2), nn.GroupNorm(3, 24), nn.ReLU(),
        nn.Flatten(), nn.Linear(600, 10),
    )
    return {
        "network": net, "loss": nn.CrossEntropyLoss(label_smoothing=0.05), "step": SAM(rho=0.05),
        "train": (x, y), "valid": (xv, yv),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9),
        "batch_size": 50, "epochs": 6,
    }
