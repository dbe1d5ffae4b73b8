"""Which of nine categories is an emoji of? 60 % are people, so batches are drawn evenly; score = mean recall."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler
from data import emoji


class Augmented(Dataset):
    """Mirrored at random and moved by up to two pixels."""

    def __init__(self, x, y):
        self.x, self.y = nn.functional.pad(x, (2, 2, 2, 2), value=1.0), y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        top, left, mirror = torch.randint(0, 5, (2,)).tolist() + [float(torch.rand(())) < 0.5]
        picture = self.x[i, :, top : top + 16, left : left + 16]
        return (picture.flip(2) if mirror else picture), self.y[i]


class EmojiNet(nn.Module):
    def __init__(self, n_classes=9):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(24, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(192, n_classes))

    def forward(self, x):
        return self.classifier(self.features(x))


def split_by_name(names, share=0.25):
    # skin tones and both vendors' drawings of one emoji stay on one side
    unique = np.unique(names)
    held = np.random.default_rng(5).permutation(unique)[: int(share * len(unique))]
    return np.isin(names, held)


def even_sampler(y_train, n):
    per_class = pd.Series(y_train).value_counts().sort_index()
    weight = 1.0 / per_class.to_numpy()
    return WeightedRandomSampler(torch.tensor(weight[y_train]), num_samples=n, replacement=True)


def mean_recall(network, valid):
    network.eval()
    guess, truth = [], []
    with torch.no_grad():
        for x, y in valid:
            guess.append(network(x).argmax(1))
            truth.append(y)
    guess, truth = torch.cat(guess), torch.cat(truth)
    return float(torch.stack([(guess[truth == c] == c).float().mean() for c in truth.unique()]).mean())


def build(seed=0):
    torch.manual_seed(seed)
    x, y, names = emoji()
    held = split_by_name(names)
    x = nn.functional.avg_pool2d(torch.tensor(x).permute(0, 3, 1, 2).float() / 127.5 - 1, 2)
    train = Augmented(x[~held], torch.tensor(y[~held]))
    valid = TensorDataset(x[held], torch.tensor(y[held]))
    net = EmojiNet()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(train, batch_size=50, sampler=even_sampler(y[~held], 3000)),
        "valid": DataLoader(valid, batch_size=200),
        "optimizer": torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05),
        "batch_size": 50,
        "epochs": 20,
        "evaluate": mean_recall,
    }
