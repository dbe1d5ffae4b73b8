"""Frogs, horses, ships: small colour photographs, DataLoader pipeline."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from data import cifar

MEAN = np.array([0.49, 0.48, 0.45], dtype=np.float32)
STD = np.array([0.25, 0.24, 0.26], dtype=np.float32)


class Photos(Dataset):
    def __init__(self, images, labels, train):
        self.images, self.labels, self.train = images, labels, train

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        img = self.images[i].astype(np.float32) / 255.0
        if self.train and np.random.rand() < 0.5:
            img = img[:, ::-1]
        img = (img - MEAN) / STD if self.train else img
        return torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1))), int(self.labels[i])


def conv_block(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.GroupNorm(4, o), nn.ReLU(), nn.MaxPool2d(2))


def build(seed=0):
    torch.manual_seed(seed)
    np.random.seed(seed)
    x, y, xv, yv = cifar(900, 500, classes=(6, 7, 8))
    model = nn.Sequential(conv_block(3, 12), conv_block(12, 24), conv_block(24, 32), nn.Flatten(),
                          nn.Linear(32 * 16, 3))
    return dict(
        network=model,
        loss=nn.CrossEntropyLoss(),
        train=DataLoader(Photos(x, y, train=True), batch_size=30, shuffle=True),
        valid=DataLoader(Photos(xv, yv, train=False), batch_size=100),
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2),
        batch_size=30,
        epochs=8,
    )
