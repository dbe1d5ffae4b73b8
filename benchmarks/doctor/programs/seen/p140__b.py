"""Configurable depth, clothes."""
import torch
import torch.nn as nn
from data import fashion


class ConvStack(nn.Module):
    def __init__(self, channels=(1, 8, 12, 16)):
        super().__init__()
        self.convs = [nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(channels, channels[1:])]
        self.fc = nn.Linear(channels[-1] * 16, 10)

    def forward(self, x):
        for conv in self.convs:
            x = torch.relu(conv(x))
        return self.fc(x.flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2500, 1000)
    x, xv = (torch.from_numpy(a)[:, None].float() / 255 for a in (x, xv))
    net = ConvStack()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, torch.from_numpy(y)),
            "valid": (xv, torch.from_numpy(yv)), "optimizer": optimizer, "batch_size": 64, "epochs": 10}
