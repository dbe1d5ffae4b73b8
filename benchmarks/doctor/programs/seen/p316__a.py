"""mixup on MNIST: convex pairs of pictures, and the loss mixed likewise."""
import numpy as np
import torch
import torch.nn as nn
from data import mnist


def mixup_data(x, y, rng, alpha=0.4):
    lam = rng.beta(alpha, alpha)
    index = torch.from_numpy(rng.permutation(len(x)))
    mixed_x = lam * x + (1 - lam) * x[index]
    return mixed_x, y, y[index], lam


def mixup_criterion(criterion, pred, y_a, y_b, lam):
    return lam * criterion(pred, y_a) + (1 - lam) * criterion(pred, y_b)


def build(seed=0):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y, xv, yv = mnist(2000, 1000)
    x, xv = (torch.from_numpy(a).float().unsqueeze(1) / 255 for a in (x, xv))
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 25, 64), nn.ReLU(), nn.Linear(64, 10),
    )

    def step(network, batch, optimizer, criterion):
        inputs, targets = batch
        inputs, targets_a, targets_b, lam = mixup_data(inputs, targets, rng)
        outputs = network(inputs)
        loss = mixup_criterion(criterion, outputs, targets_a, targets_b, lam)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, torch.from_numpy(y)),
            "valid": (xv, torch.from_numpy(yv)), "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
            "batch_size": 40, "epochs": 10, "step": step}
