"""Fine-tuning: a net trained on clothes (Fashion-MNIST) goes on with a thousand digits of MNIST.

1. pre-train on Fashion-MNIST (the usual loop)
2. swap the head
3. fine-tune everything, gently
"""
import torch
from torch import nn
from data import fashion, mnist


class Backbone(nn.Module):
    def __init__(self, n_out):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten())
        self.fc = nn.Linear(24 * 49, n_out)

    def forward(self, x):
        return self.fc(self.features(x))


def prep(x):
    return torch.from_numpy(x).float().unsqueeze(1) / 255 * 2 - 1


def pretrain(net, x, y, epochs=2):
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)
    net.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(50):
            opt.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            opt.step()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, _, _ = fashion(2000, 10)
    net = Backbone(10)
    pretrain(net, prep(x), torch.from_numpy(y))

    net.fc = nn.Linear(net.fc.in_features, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=3e-3, momentum=0.9)

    x, y, xv, yv = mnist(1000, 1000)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (prep(x), torch.from_numpy(y)),
        "valid": (prep(xv), torch.from_numpy(yv)),
        "optimizer": optimizer,
        "batch_size": 25,
        "epochs": 4,
    }
