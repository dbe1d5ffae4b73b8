"""Vowels of fifteen speakers; Lion (evolved sign momentum), wide layers, much dropout."""
import torch
import torch.nn as nn
from data import table


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_((b1 * m + (1 - b1) * p.grad).sign(), alpha=-group["lr"])
                m.mul_(b2).add_(p.grad, alpha=1 - b2)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Vowel").sample(frac=1.0, random_state=0)
    y = torch.tensor(df["Class"].astype("category").cat.codes.to_numpy(), dtype=torch.long)
    x = torch.tensor(df[[f"V{i}" for i in range(2, 11)]].to_numpy(), dtype=torch.float32)
    x = (x - x[:740].mean(0)) / x[:740].std(0)
    net = nn.Sequential(
        nn.Linear(9, 256), nn.ReLU(), nn.Dropout(0.7),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.7),
        nn.Linear(256, 11),
    )
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (x[:740], y[:740]),
        "valid": (x[740:], y[740:]),
        "optimizer": Lion(net.parameters(), lr=8e-4, weight_decay=0.05),
        "batch_size": 32,
        "epochs": 40,
    }
