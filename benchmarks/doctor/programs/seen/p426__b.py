"""Siamese network: are two handwritten digits the same numeral? Verification AUC on new pictures."""
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import mnist


class DigitPairs(Dataset):
    def __init__(self, images, digits, n_pairs, seed):
        rng = np.random.default_rng(seed)
        self.images = torch.from_numpy(images).float().unsqueeze(1) / 255
        by_digit = [np.flatnonzero(digits == d) for d in range(10)]
        self.pairs = []
        for k in range(n_pairs):
            first = rng.integers(len(digits))
            if k % 2:
                second, same = rng.choice(by_digit[digits[first]]), 1.0
            else:
                second, same = rng.choice(np.flatnonzero(digits != digits[first])), 0.0
            self.pairs.append((int(first), int(second), same))

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, k):
        first, second, same = self.pairs[k]
        return torch.stack([self.images[first], self.images[second]]), torch.tensor(same)


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU())
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(400, 64), nn.ReLU(), nn.Linear(64, 8))

    def forward(self, pair):
        first, second = self.fc(self.cnn(pair[:, 0])), self.fc(self.cnn(pair[:, 1]))
        return F.pairwise_distance(first, second)


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=2.0):
        super().__init__()
        self.margin = margin

    def forward(self, distance, label):
        pull = (1 - label) * distance.pow(2)
        push = label * (self.margin - distance).clamp(min=0).pow(2)
        return torch.mean(pull + push)


def evaluate(network, valid):
    network.eval()
    with torch.no_grad():
        found = [(network(pair), same) for pair, same in valid]
    distance, same = (torch.cat(part).numpy() for part in zip(*found))
    return roc_auc_score(same, -distance)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2000, 600)
    net = SiameseNetwork()
    return {
        "network": net, "loss": ContrastiveLoss(), "evaluate": evaluate,
        "train": DataLoader(DigitPairs(x, y, 2400, 1), batch_size=32, shuffle=True),
        "valid": DataLoader(DigitPairs(xv, yv, 800, 2), batch_size=200),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3), "batch_size": 32, "epochs": 6,
    }
