"""Fashion classifier - training script.

Usage:  build() -> everything the trainer needs.
"""
import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

from data import fashion


def get_args(argv=()):
    p = argparse.ArgumentParser()
    p.add_argument("--epochs", type=int, default=6)
    p.add_argument("--batch-size", type=int, default=32)
    p.add_argument("--lr", type=float, default=2e-5)
    p.add_argument("--weight-decay", type=float, default=0.01)
    p.add_argument("--width", type=int, default=12)
    return p.parse_args(argv)


class FashionSet(Dataset):
    """Pictures as float tensors (1, 28, 28), zero mean and unit variance over the training set."""

    MEAN, STD = 0.286, 0.353

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform=None):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = torch.from_numpy(self.images[index]).float().div(255)
        image = (image - self.MEAN) / self.STD
        if self.transform is not None:
            image = self.transform(image)
        return image[None], int(self.labels[index])


def flip(image):
    return image.flip(-1) if torch.rand(()) < 0.5 else image


def conv_block(c_in, c_out):
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True), nn.MaxPool2d(2)
    )


class FashionNet(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.features = nn.Sequential(conv_block(1, width), conv_block(width, 2 * width))
        self.head = nn.Linear(2 * width * 7 * 7, 10)

    def forward(self, x):
        return self.head(torch.flatten(self.features(x), 1))


def build(seed=0):
    args = get_args()
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2500, 1000)
    model = FashionNet(args.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    return {
        "network": model,
        "optimizer": optimizer,
        "loss": nn.CrossEntropyLoss(label_smoothing=0.05),
        "train": DataLoader(FashionSet(x, y, flip), batch_size=args.batch_size, shuffle=True, drop_last=True),
        "valid": DataLoader(FashionSet(xv, yv), batch_size=200),
        "batch_size": args.batch_size,
        "epochs": args.epochs,
    }
