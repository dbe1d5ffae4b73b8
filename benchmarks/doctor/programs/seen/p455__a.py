"""Siamese network on clothes; the embedding is judged by nearest neighbours."""
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier
from torch.utils.data import DataLoader, Dataset

from data import fashion


class PairDataset(Dataset):
    """Half of the pairs show the same kind of clothes."""

    def __init__(self, images, labels, n_pairs, seed):
        self.images, self.labels = images, labels
        rng = random.Random(seed)
        by_class = {c: [i for i, y in enumerate(labels.tolist()) if y == c] for c in range(10)}
        self.pairs = []
        for _ in range(n_pairs):
            a = rng.randrange(len(images))
            own = int(labels[a])
            if rng.random() < 0.5:
                self.pairs.append((a, rng.choice(by_class[own]), 1.0))
            else:
                other = rng.choice([c for c in range(10) if c != own])
                self.pairs.append((a, rng.choice(by_class[other]), 0.0))

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, k):
        a, b, same = self.pairs[k]
        return self.images[a], self.images[b], torch.tensor(same)


class SiameseNetwork(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 12, 5, stride=2), nn.ReLU(), nn.Conv2d(12, 24, 3, stride=2), nn.ReLU(), nn.Flatten())
        self.fc = nn.Sequential(nn.Linear(24 * 25, 64), nn.ReLU(), nn.Linear(64, dim))

    def forward_once(self, x):
        return self.fc(self.cnn(x))

    def forward(self, a, b):
        return self.forward_once(a), self.forward_once(b)


def contrastive_loss(network, batch, margin=2.0):
    a, b, label = batch
    out1, out2 = network(a, b)
    distance = F.pairwise_distance(out1, out2)
    return ((1 - label) * distance.pow(2) + label * (margin - distance).clamp(min=0).pow(2)).mean()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 600)
    x, xv = (torch.from_numpy(t).float().div(255).unsqueeze(1) for t in (x, xv))
    network = SiameseNetwork()

    def knn_accuracy(net, valid):
        net.eval()
        with torch.no_grad():
            known, asked = net.forward_once(x), net.forward_once(xv)
        return KNeighborsClassifier(5).fit(known.numpy(), y).score(asked.numpy(), yv)

    torch_y, torch_yv = torch.from_numpy(y), torch.from_numpy(yv)
    return {"network": network, "objective": contrastive_loss, "evaluate": knn_accuracy,
            "train": DataLoader(PairDataset(x, torch_y, 4000, 0), batch_size=64, shuffle=True),
            "valid": DataLoader(PairDataset(xv, torch_yv, 600, 1), batch_size=100),
            "optimizer": torch.optim.Adam(network.parameters(), lr=1e-3), "batch_size": 64, "epochs": 6}
