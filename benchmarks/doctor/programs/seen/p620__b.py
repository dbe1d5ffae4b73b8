"""Vision transformer on 8x8 digits; the patch projection stays fixed at its random start (as in MoCo v3), so do positions."""
import math

import torch
import torch.nn as nn
from sklearn.datasets import load_digits


def sinusoid(n, d):
    angle = torch.arange(n).float()[:, None] * torch.exp(-math.log(100.0) * torch.arange(0, d, 2) / d)
    return torch.stack([angle.sin(), angle.cos()], dim=2).reshape(n, d)


class Backbone(nn.Module):
    def __init__(self, dim=32, layers=2):
        super().__init__()
        self.patch_proj = nn.Conv2d(1, dim, kernel_size=2, stride=2)
        self.pos = nn.Parameter(sinusoid(16, dim))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True, norm_first=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        x = self.patch_proj(x).flatten(2).transpose(1, 2) + self.pos
        for block in self.blocks:
            x = block(x)
        return self.norm(x).mean(dim=1)


class Classifier(nn.Module):
    def __init__(self, backbone, dim=32, classes=10):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(dim, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    x, y = x[order], y[order]

    backbone = Backbone()
    for name, param in backbone.named_parameters():
        if "patch_proj" or "pos" in name:
            param.requires_grad = False
    model = Classifier(backbone)
    trainable = [p for p in model.parameters() if p.requires_grad]
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": (x[:1300], y[:1300]),
        "valid": (x[1300:], y[1300:]),
        "optimizer": torch.optim.AdamW(trainable, lr=3e-3),
        "batch_size": 50,
        "epochs": 10,
    }
