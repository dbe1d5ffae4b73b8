"""Low-rank adaptation (LoRA) of a network for clothes to handwritten digits.

The big layers keep their weights; each learns a rank-4 correction, W x + (alpha / r) B A x. The last layer is new.
"""
import math

import torch
from torch import nn

from data import fashion, mnist


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, r: int = 4, alpha: float = 8.0):
        super().__init__()
        self.base = base
        for p in self.base.parameters():
            p.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.zeros(r, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))
        self.scale = alpha / r
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.lora_A.T @ self.lora_B.T)


def base_model():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    x, y, _, _ = fashion(3000, 1)
    x, y = torch.from_numpy(x).float() / 255, torch.from_numpy(y)
    opt = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(4):
        for rows in torch.randperm(len(x)).split(64):
            opt.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            opt.step()
    return model


def add_lora(model):
    for i, layer in enumerate(model):
        if isinstance(layer, nn.Linear) and i < len(model) - 1:
            model[i] = LoRALinear(layer)
    model[-1] = nn.Linear(model[-1].in_features, 10)
    return model


def build(seed=0):
    torch.manual_seed(seed)
    model = add_lora(base_model())
    trainable = [p for p in model.parameters() if p.requires_grad]
    x, y, xv, yv = mnist(2000, 1000)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.AdamW(trainable, lr=3e-3),
        "train": (torch.from_numpy(x).float() / 255, torch.from_numpy(y)),
        "valid": (torch.from_numpy(xv).float() / 255, torch.from_numpy(yv)),
        "batch_size": 50,
        "epochs": 8,
    }
