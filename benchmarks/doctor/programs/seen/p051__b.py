"""Autoencoder with a quantized code (16 levels a number), clothes at 14x14."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion


class QuantizedAE(nn.Module):
    def __init__(self, code=6, levels=15):
        super().__init__()
        self.levels = levels
        self.enc = nn.Sequential(nn.Linear(196, 64), nn.ReLU(), nn.Linear(64, code), nn.Sigmoid())
        self.dec = nn.Sequential(nn.Linear(code, 64), nn.ReLU(), nn.Linear(64, 196))

    def forward(self, x):
        z = self.enc(x)
        q = torch.round(z * self.levels) / self.levels
        return self.dec(q)


def build(seed=0):
    torch.manual_seed(seed)
    a, _, b, _ = fashion(2000, 500)
    a, b = (F.avg_pool2d(torch.tensor(t).float().unsqueeze(1) / 255, 2).flatten(1) for t in (a, b))
    net = QuantizedAE()
    return {"network": net, "loss": nn.MSELoss(), "train": (a, a), "valid": (b, b),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 50, "epochs": 8}
