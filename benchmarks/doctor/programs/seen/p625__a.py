"""Emoji categories, very uneven: WeightedRandomSampler for training, balanced accuracy for validation."""
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from data import emoji


def split_by_name(names, share, rng):
    unique = rng.permutation(np.unique(names))
    return np.isin(names, unique[: int(len(unique) * share)])


def shrink(pictures):
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return nn.functional.avg_pool2d(x, 2) * 2 - 1


class EmojiNet(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(48, n_classes),
        )

    def forward(self, x):
        return self.net(x)


def balanced_accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        guess = torch.cat([model(x).argmax(1) for x, _ in loader])
    truth = torch.cat([y for _, y in loader])
    return float(np.mean([(guess[truth == k] == k).float().mean().item() for k in truth.unique()]))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, names = emoji()
    held = split_by_name(names, 0.2, np.random.default_rng(7))
    x, y = shrink(x), torch.from_numpy(y)
    train, valid = TensorDataset(x[~held], y[~held]), TensorDataset(x[held], y[held])
    weight = (1.0 / torch.bincount(train.tensors[1]).double())[train.tensors[1]]
    sampler = WeightedRandomSampler(weight, num_samples=2500, replacement=True, generator=torch.Generator().manual_seed(seed))
    model = EmojiNet(9)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "evaluate": balanced_accuracy,
        "train": DataLoader(train, batch_size=50, sampler=sampler),
        "valid": DataLoader(valid, batch_size=300),
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 50,
        "epochs": 6,
    }
