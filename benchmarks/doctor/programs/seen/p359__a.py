"""Low-rank adaptation: a network that reads upright digits is fitted to lying ones by rank-4 updates of its layers."""
import math

import torch
from torch import nn
from data import mnist


class LoRALinear(nn.Module):
    """W x + b + (alpha / r) B A x with W and b kept as they are."""

    def __init__(self, linear, r=4, alpha=8):
        super().__init__()
        self.linear = linear
        for p in self.linear.parameters():
            p.requires_grad = False
        self.lora_A = nn.Parameter(torch.zeros(r, linear.in_features))
        self.lora_B = nn.Parameter(torch.zeros(linear.out_features, r))
        self.scaling = alpha / r
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.zeros_(self.lora_A)
        nn.init.zeros_(self.lora_B)

    def forward(self, x):
        return self.linear(x) + x @ self.lora_A.t() @ self.lora_B.t() * self.scaling


def pretrain(x, y):
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(6):
        for rows in torch.randperm(len(x)).split(50):
            opt.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            opt.step()
    return net


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(4000, 600)
    x, xv = (torch.tensor(a).float() / 255 for a in (x, xv))
    y, yv = torch.tensor(y), torch.tensor(yv)
    net = pretrain(x[:2500], y[:2500])
    for i, layer in enumerate(net):
        if isinstance(layer, nn.Linear):
            net[i] = LoRALinear(layer)
    x, xv = x[2500:].rot90(1, (1, 2)).contiguous(), xv.rot90(1, (1, 2)).contiguous()
    trainable = [p for p in net.parameters() if p.requires_grad]
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, y[2500:]), "valid": (xv, yv),
            "optimizer": torch.optim.AdamW(trainable, lr=3e-3), "batch_size": 50, "epochs": 8}
