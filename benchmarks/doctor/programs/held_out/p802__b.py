"""Emoji groups: is it a face, food, an animal ...?  32x32 colour icons, custom Dataset."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import emoji

GROUPS = (1, 3, 7)  # three larger groups


class EmojiDataset(Dataset):
    def __init__(self, pictures, labels, train=False):
        self.pictures = pictures.astype(np.float32)
        self.labels = labels
        self.train = train
        self.mean = np.array([205.0, 195.0, 180.0], dtype=np.float32)
        self.std = np.array([75.0, 75.0, 85.0], dtype=np.float32)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        picture = self.pictures[i]
        picture -= self.mean
        picture /= self.std
        if self.train and np.random.rand() < 0.5:
            picture = picture[:, ::-1].copy()
        return torch.from_numpy(picture).permute(2, 0, 1), self.labels[i]


class EmojiNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        def block(i, o):
            return [nn.Conv2d(i, o, 3, stride=2, padding=1), nn.ReLU()]
        self.net = nn.Sequential(*block(3, 16), *block(16, 32), *block(32, 48), nn.Flatten(),
                                 nn.Dropout(0.3), nn.Linear(48 * 16, classes))

    def forward(self, x):
        return self.net(x)


def build(seed=0):
    torch.manual_seed(seed)
    np.random.seed(seed)
    pictures, category, name = emoji()
    keep = np.isin(category, GROUPS)
    pictures, category, name = pictures[keep], category[keep], name[keep]
    labels = np.searchsorted(GROUPS, category)
    held = np.random.default_rng(5).permutation(np.unique(name))
    valid = np.isin(name, held[: len(held) // 4])  # the same emoji is drawn by several vendors: split by name
    model = EmojiNet(len(GROUPS))
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(EmojiDataset(pictures[~valid], labels[~valid], train=True), batch_size=32, shuffle=True),
        "valid": DataLoader(EmojiDataset(pictures[valid], labels[valid]), batch_size=128),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
        "epochs": 10,
    }
