"""Digits with a warm-up, after the recipe of a paper."""
import torch
import torch.nn as nn
from data import mnist

BASE_LR = 2e-3
WARMUP = 40


def lr_at(iteration):
    factor = min(1.0, (iteration + 1) / WARMUP) * 0.998 ** max(0, iteration - WARMUP)
    return factor


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Trainer:
    """Steps the optimizer and the scheduler together."""

    def __init__(self, optimizer):
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=lr_at)

    def __call__(self, network, batch, optimizer, loss):
        inputs, targets = batch
        optimizer.zero_grad(set_to_none=True)
        value = loss(network(inputs), targets)
        value.backward()
        optimizer.step()
        self.scheduler.step()
        return value.item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2000, 1000)
    scale = lambda a: torch.from_numpy(a).float().div(255).sub(0.13).div(0.31).unsqueeze(1)  # noqa: E731
    net = LeNet5()
    optimizer = torch.optim.AdamW(net.parameters(), lr=BASE_LR)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (scale(x), torch.from_numpy(y)),
        "valid": (scale(xv), torch.from_numpy(yv)),
        "optimizer": optimizer,
        "step": Trainer(optimizer),
        "batch_size": 40,
        "epochs": 5,
    }
