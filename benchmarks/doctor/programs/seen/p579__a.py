"""Feature extraction: a small CNN with batch normalization learns MNIST, is frozen, and serves for clothes.

The statistics of the source are kept: the extractor stays in inference mode whatever the rest does.
"""
import torch
from torch import nn

from data import fashion, mnist


def pictures(a):
    return torch.from_numpy(a).float().unsqueeze(1) / 127.5 - 1


class Extractor(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2), nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten())

    def forward(self, x):
        return self.net(x)


class FrozenBackbone(nn.Module):
    def __init__(self, backbone, n_classes):
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.head = nn.Sequential(nn.LazyLinear(48), nn.ReLU(), nn.Linear(48, n_classes))

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            features = self.backbone(x)
        return self.head(features)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, _, _ = mnist(2500, 1)
    source, labels = pictures(x), torch.from_numpy(y)
    backbone = Extractor()
    model = nn.Sequential(backbone, nn.Linear(24 * 25, 10))
    opt = torch.optim.Adam(model.parameters(), lr=2e-3)
    for rows in torch.randperm(len(source)).repeat(2).split(50):
        opt.zero_grad()
        nn.functional.cross_entropy(model(source[rows]), labels[rows]).backward()
        opt.step()

    net = FrozenBackbone(backbone, 10)
    x, y, xv, yv = fashion(2500, 1000)
    net(pictures(x[:2]))
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.Adam(net.head.parameters(), lr=2e-3),
        "train": (pictures(x), torch.from_numpy(y)),
        "valid": (pictures(xv), torch.from_numpy(yv)),
        "batch_size": 50,
        "epochs": 6,
    }
