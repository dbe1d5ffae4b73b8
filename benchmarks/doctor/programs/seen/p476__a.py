"""Random features: convolutions that are never trained, and a linear readout. (Saxe et al. 2011; faces or not.)"""
import torch
from torch import nn

from data_south import faces


class RandomFeatures(nn.Module):
    def __init__(self, channels=32):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 7, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.LayerNorm(channels * 16, elementwise_affine=False),
        )
        self.readout = nn.Linear(channels * 16, 2)
        for p in self.features.parameters():
            p.requires_grad_(False)

    def forward(self, x):
        return self.readout(self.features(x))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = faces()
    x = torch.from_numpy(x).float().unsqueeze(1) / 255
    x = (x - x.mean(dim=(1, 2, 3), keepdim=True)) / (x.std(dim=(1, 2, 3), keepdim=True) + 1e-3)
    y = torch.from_numpy(y)
    net = RandomFeatures()
    optimizer = torch.optim.Adam((p for p in net.parameters() if p.requires_grad), lr=1e-3)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:120], y[:120]), valid=(x[120:], y[120:]), optimizer=optimizer,
                batch_size=12, epochs=40)
