"""Low-rank adapters: a network that reads digits is adapted to digits with inverted, mirrored ink; its own weights rest."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import mnist


class LoRALinear(nn.Module):
    def __init__(self, base, rank=16, alpha=16):
        super().__init__()
        self.base = base
        for p in self.base.parameters():
            p.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.empty(base.out_features, rank))
        self.scaling = alpha / rank
        nn.init.zeros_(self.lora_A)
        nn.init.zeros_(self.lora_B)

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.lora_A), self.lora_B) * self.scaling


def pretrain(net, x, y, epochs=4):
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(50):
            opt.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            opt.step()


def adapt(net):
    return nn.Sequential(*[LoRALinear(m) if isinstance(m, nn.Linear) else m for m in net])


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = mnist(4000, 800)
    x, xt = (torch.tensor(a, dtype=torch.float32) / 255 - 0.5 for a in (x, xt))
    y, yt = torch.tensor(y), torch.tensor(yt)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    pretrain(net, x[:2000], y[:2000])
    net = adapt(net)
    trainable = [p for p in net.parameters() if p.requires_grad]
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (-x[2000:].flip(-1), y[2000:]),
            "valid": (-xt.flip(-1), yt), "optimizer": torch.optim.AdamW(trainable, lr=4e-3),
            "batch_size": 50, "epochs": 12}
