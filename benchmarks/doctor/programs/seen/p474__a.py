"""Do two digits have the same parity? Neither picture alone says anything about it."""
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def pairs(images, labels, count, rng):
    left, right = rng.integers(len(images), size=(2, count))
    x = np.concatenate([images[left], images[right]], axis=1)
    same = (labels[left] % 2) == (labels[right] % 2)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(same, dtype=torch.float32).unsqueeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    images, labels = load_digits(return_X_y=True)
    images = images / 16 - 0.3
    xa, xb, ya, yb = train_test_split(images, labels, test_size=0.3, random_state=0)
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 1))
    return {'network': net, 'loss': nn.BCEWithLogitsLoss(), 'train': pairs(xa, ya, 6000, rng), 'valid': pairs(xb, yb, 1000, rng),
            'optimizer': torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9), 'batch_size': 50, 'epochs': 30}
