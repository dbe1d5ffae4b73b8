"""Localize the single object of a picture (x0, y0, x1, y1)."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

from data_fir import placed

SIDE = 40


class Boxes(Dataset):
    def __init__(self, pictures, boxes):
        self.pictures = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255).sub(0.45).div(0.25)
        self.boxes = torch.from_numpy(boxes) / SIDE

    def __len__(self):
        return len(self.boxes)

    def __getitem__(self, i):
        return self.pictures[i], self.boxes[i]


def conv(i, o, stride):
    return nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


class Localizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(conv(3, 16, 2), conv(16, 32, 2), conv(32, 48, 2))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(48 * 25, 64), nn.ReLU(), nn.Linear(64, 4), nn.Sigmoid())

    def forward(self, x):
        return self.head(self.backbone(x))


def build(seed=0):
    torch.manual_seed(seed)
    pictures, boxes, _ = placed(1300, SIDE, seed=4)
    train, valid = Boxes(pictures[:1000], boxes[:1000]), Boxes(pictures[1000:], boxes[1000:])
    net = Localizer()
    return {
        "network": net,
        "loss": nn.SmoothL1Loss(),
        "train": DataLoader(train, batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(seed)),
        "valid": DataLoader(valid, batch_size=100),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
        "batch_size": 32,
        "epochs": 12,
    }
