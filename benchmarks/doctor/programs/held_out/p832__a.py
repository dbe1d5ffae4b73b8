"""Find the shirts: one picture in ten, and what counts is the order (area under the ROC curve).

Instead of a loss for each picture, every shirt of a batch is compared with every other piece of clothing
(Yan et al. 2003): score(shirt) should exceed score(other) by a margin. Absolute scores mean nothing.
"""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler
from data import fashion

SHIRT = 6


class PairwiseMargin(nn.Module):
    """Squared hinge over all (positive, negative) pairs of the batch: (P, 1) - (1, N) is (P, N)."""

    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, scores, labels):
        positive, negative = scores[labels == 1], scores[labels == 0]
        gaps = positive.unsqueeze(1) - negative.unsqueeze(0)
        return torch.relu(self.margin - gaps).square().mean()


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(24, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3))
        self.score = nn.Linear(512, 1, bias=False)  # a bias would cancel in every difference

    def forward(self, x):
        return self.score(self.features(x))[:, 0]


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(8000, 2000)
    x, xv = (torch.from_numpy(a)[:, None].float() / 255 - 0.29 for a in (x, xv))
    y, yv = (torch.from_numpy((a == SHIRT).astype("float32")) for a in (y, yv))
    # a third of each batch is shirts, so that there are pairs to compare
    weights = torch.where(y == 1, 0.5 / y.sum(), 1 / (1 - y).sum())
    sampler = WeightedRandomSampler(weights.tolist(), len(y))
    model = Scorer()
    return {"network": model, "loss": PairwiseMargin(), "train": DataLoader(TensorDataset(x, y), 64, sampler=sampler),
            "valid": DataLoader(TensorDataset(xv, yv), 500), "batch_size": 64, "epochs": 6,
            "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)}
