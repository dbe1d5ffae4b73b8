"""Transfer learning in the small: a CNN learns clothes, then is fine-tuned to tell handwritten digits.

All layers stay trainable in the second stage; only 300 labelled digits are at hand.
"""
import torch
from torch import nn, optim

from data import fashion, mnist


def to_images(a):
    return torch.from_numpy(a).float().div(255).sub(0.3).div(0.35).unsqueeze(1)


def make_backbone():
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU())


def pretrain(backbone, epochs=2):
    x, y, _, _ = fashion(3000, 1)
    x, y = to_images(x), torch.from_numpy(y)
    model = nn.Sequential(backbone, nn.Linear(64, 10))
    opt = optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            opt.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            opt.step()
    return backbone


def build(seed=0):
    torch.manual_seed(seed)
    backbone = pretrain(make_backbone())
    model = nn.Sequential(backbone, nn.Linear(64, 10))
    x, y, xv, yv = mnist(300, 1000)
    optimizer = optim.Adam([
        {"params": model[0].parameters(), "lr": 3e-2},
        {"params": model[1].parameters(), "lr": 5e-2},
    ])
    return {"network": model, "loss": nn.CrossEntropyLoss(label_smoothing=0.05), "optimizer": optimizer,
            "train": (to_images(x), torch.from_numpy(y)), "valid": (to_images(xv), torch.from_numpy(yv)),
            "batch_size": 32, "epochs": 12}
