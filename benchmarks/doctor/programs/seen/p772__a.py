"""Stamps for children's paintings: which drawer does a stamp belong to? Small residual net, ImageNet-style transforms."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data_dahlia import stamps

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Stamps(Dataset):
    def __init__(self, rgba, drawer):
        self.rgba, self.drawer = rgba, drawer

    def __len__(self):
        return len(self.rgba)

    def __getitem__(self, i):
        rgba = self.rgba[i].astype(np.float32)
        alpha = rgba[..., 3:] / 255
        image = rgba[..., :3] * alpha + 255 * (1 - alpha)  # on white paper
        image = (image - IMAGENET_MEAN) / IMAGENET_STD
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), int(self.drawer[i])


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return torch.relu(x + self.b(torch.relu(self.a(x))))


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), Residual(16),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), Residual(32), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.fc = nn.Linear(128, classes)

    def forward(self, x):
        return self.fc(self.layers(x))


def build(seed=0):
    torch.manual_seed(seed)
    rgba, category, _ = stamps(32)
    drawers = np.array([0, 4, 13, 14])
    rows = np.flatnonzero(np.isin(category, drawers))
    rows = np.random.default_rng(4).permutation(rows)
    x, y = rgba[rows], np.searchsorted(drawers, category[rows])
    train, valid = Stamps(x[:380], y[:380]), Stamps(x[380:], y[380:])
    net = Net(len(drawers))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=DataLoader(train, batch_size=19, shuffle=True),
                valid=DataLoader(valid, batch_size=50), batch_size=19, epochs=10,
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3))
