"""Letters from 16 numbers of their shape.

Two things that I wanted to write by hand once: Lion (Chen et al. 2023), where every weight moves by exactly the rate in
each step, and a Swish that keeps its input alone for the backward pass.
"""
import torch
from data import table
from torch import nn


class SwishFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad * s * (1 + x * (1 - s))


class Swish(nn.Module):
    def forward(self, x):
        return SwishFunction.apply(x)


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
                direction = torch.lerp(p.grad, m, b1).sign_()
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(direction, alpha=-group["lr"])
                m.lerp_(p.grad, 1 - b2)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition").drop_duplicates().sample(frac=1.0, random_state=11)[:9000]
    y = torch.tensor(df.pop("lettr").map(lambda c: ord(c) - ord("A")).to_numpy())
    x = torch.tensor(df.to_numpy(), dtype=torch.float32)
    x = (x - x[:6000].mean(0)) / x[:6000].std(0)
    net = nn.Sequential(nn.Linear(16, 128), Swish(), nn.Linear(128, 128), Swish(), nn.Linear(128, 26))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:6000], y[:6000]), "valid": (x[6000:], y[6000:]),
            "optimizer": Lion(net.parameters(), lr=3e-4, weight_decay=0.3), "batch_size": 64, "epochs": 25}
