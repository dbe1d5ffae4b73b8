"""Fixed random convolution features (as in reservoir methods), linear head."""
import torch
import torch.nn as nn
from data import fashion


class RandomFeatures(nn.Module):
    def __init__(self, filters=64):
        super().__init__()
        self.extract = nn.Sequential(nn.Conv2d(1, filters, 7, stride=3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten())
        for p in self.extract.parameters():
            p.requires_grad_(False)
        self.norm = nn.BatchNorm1d(filters * 16, affine=False)
        self.head = nn.Linear(filters * 16, 10)

    def forward(self, x):
        with torch.no_grad():
            f = self.extract(x)
        return self.head(self.norm(f))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 800)
    x, xv = (torch.tensor(a).unsqueeze(1).float() / 255 for a in (x, xv))
    net = RandomFeatures()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, torch.tensor(y)), "valid": (xv, torch.tensor(yv)),
            "optimizer": torch.optim.Adam(net.head.parameters(), lr=1e-3, weight_decay=1e-3), "batch_size": 50, "epochs": 5}
