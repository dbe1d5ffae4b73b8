"""Land use from a satellite's pixels: one wide layer of rectifiers, each with a threshold of its own."""
import numpy as np
import torch
from torch import nn

from data import table

WIDTH = 600


class Thresholds(nn.Module):
    def __init__(self, inputs, width, classes):
        super().__init__()
        self.units = nn.Linear(inputs, width)
        self.read = nn.Linear(width, classes)
        with torch.no_grad():
            directions = torch.randn(width, inputs)
            self.units.weight.copy_(directions / directions.norm(dim=1, keepdim=True))
            self.units.bias.uniform_(-12.0, 1.0)

    def forward(self, x):
        return self.read(torch.relu(self.units(x)))


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("Satellite")
    classes, labels = np.unique(frame["classes"], return_inverse=True)
    x = torch.tensor(frame.drop(columns="classes").to_numpy(np.float32))
    y = torch.from_numpy(labels)
    x = (x - x[:4435].mean(0)) / x[:4435].std(0)
    pick = torch.randperm(4435, generator=torch.Generator().manual_seed(1))[:3000]
    net = Thresholds(36, WIDTH, len(classes))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[pick], y[pick]), "valid": (x[4435:], y[4435:]),
            "optimizer": optimizer, "batch_size": 32, "epochs": 12}
