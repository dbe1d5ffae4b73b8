"""Low-rank adapters: a digit classifier learned on upright digits is adapted to digits turned upside down.

Only the adapters are trained; the weights that were there before stay as they are.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import mnist


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int = 8, alpha: float = 16.0):
        super().__init__()
        self.base = base
        self.base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scaling = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scaling * F.linear(F.linear(x, self.lora_a), self.lora_b)


def pretrain(x, y, epochs=4):
    base = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = torch.optim.Adam(base.parameters(), lr=1e-3)
    for _ in range(epochs):
        for idx in torch.randperm(len(x)).split(64):
            opt.zero_grad()
            F.cross_entropy(base(x[idx]), y[idx]).backward()
            opt.step()
    return base


def add_adapters(model):
    for i, layer in enumerate(model):
        if isinstance(layer, nn.Linear):
            model[i] = LoRALinear(layer)
    return model


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(7000, 1000)
    x, xv = (torch.from_numpy(a).float() / 255 for a in (x, xv))
    y, yv = torch.from_numpy(y), torch.from_numpy(yv)
    model = add_adapters(pretrain(x[:4000], y[:4000]))
    turned, turned_valid = x[4000:].flip(1, 2), xv.flip(1, 2)
    trainable = [p for p in model.parameters() if p.requires_grad]
    return {"network": model, "loss": F.cross_entropy, "train": (turned, y[4000:]), "valid": (turned_valid, yv),
            "optimizer": torch.optim.Adam(trainable, lr=2e-3), "batch_size": 64, "epochs": 8}
