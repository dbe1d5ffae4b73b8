"""Clothes with a custom Dataset."""
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

from data import fashion


class ClothesDataset(Dataset):
    def __init__(self, images, labels, mean=0.286, std=0.353):
        self.images = images.astype(np.float32) / 255.0
        self.labels = labels
        self.mean = mean
        self.std = std

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        image = self.images[idx]
        image -= self.mean
        image /= self.std
        return torch.from_numpy(image).reshape(-1), int(self.labels[idx])


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10))

    def forward(self, x):
        return self.layers(x)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2500, 800)
    train_loader = DataLoader(ClothesDataset(x, y), batch_size=64, shuffle=True)
    valid_loader = DataLoader(ClothesDataset(xv, yv), batch_size=200)
    net = MLP()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": train_loader,
        "valid": valid_loader,
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.04, momentum=0.9),
        "batch_size": 64,
        "epochs": 10,
    }
