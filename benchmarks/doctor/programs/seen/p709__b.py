"""Which of nine men says the vowels: 12 cepstral coefficients over time.

The recording's width is only known after the data are read, so the body is replaced when the model is set up.
"""
import numpy as np
import torch
from torch import nn

from data import vowels


def conv_body(n_channels, width=32):
    return nn.Sequential(
        nn.Conv1d(n_channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv1d(width, width, 3, padding=1),
        nn.ReLU(),
    )


class SeriesNet(nn.Module):
    def __init__(self, classes, width=32):
        super().__init__()
        self.width = width
        self.body = conv_body(1, width)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x):
        h = self.body(x)
        return self.head(torch.cat([h.mean(2), h.amax(2)], dim=1))


def set_up(classes, n_channels):
    model = SeriesNet(classes)
    model.body = conv_body(n_channels, model.width)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return model, optimizer


def to_tensor(x, mean, std):
    return torch.from_numpy(np.nan_to_num((x - mean) / std)).float()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, _, x_test, y_test, _ = vowels()
    mean = np.nanmean(x, axis=(0, 2), keepdims=True)
    std = np.nanstd(x, axis=(0, 2), keepdims=True)
    model, optimizer = set_up(classes=9, n_channels=x.shape[1])
    return {
        "network": model,
        "optimizer": optimizer,
        "loss": nn.CrossEntropyLoss(),
        "train": (to_tensor(x, mean, std), torch.from_numpy(y)),
        "valid": (to_tensor(x_test, mean, std), torch.from_numpy(y_test)),
        "batch_size": 18,
        "epochs": 25,
    }
