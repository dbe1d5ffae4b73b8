"""LoRA in small: a network that knows digits is adapted to clothes."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import fashion, mnist


def flat(images):
    return torch.from_numpy(images).flatten(1).float() / 255


class LoRALinear(nn.Module):
    def __init__(self, base, rank=12, alpha=24):
        super().__init__()
        self.base = base
        for p in self.base.parameters():
            p.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scaling = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scaling * F.linear(F.linear(x, self.lora_A), self.lora_B)


def pretrained_body():
    x, y, _, _ = mnist(2000, 10)
    x, y = flat(x), torch.from_numpy(y)
    body = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
    model = nn.Sequential(body, nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(4):
        for rows in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return body


def build(seed=0):
    torch.manual_seed(seed)
    body = pretrained_body()
    adapted = [LoRALinear(layer) if isinstance(layer, nn.Linear) else layer for layer in body]
    net = nn.Sequential(*adapted, nn.Linear(64, 10))
    x, y, xv, yv = fashion(2500, 1000)
    trainable = [p for p in net.parameters() if p.requires_grad]
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (flat(x), torch.from_numpy(y)),
            "valid": (flat(xv), torch.from_numpy(yv)), "optimizer": torch.optim.AdamW(trainable, lr=3e-3),
            "batch_size": 50, "epochs": 14}
