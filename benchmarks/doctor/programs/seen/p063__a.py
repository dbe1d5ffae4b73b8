"""Splice junctions of DNA: a feature block and a classifier."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import splice


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(4, 16, 9), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(16, 12, 5), nn.ReLU(), nn.AdaptiveMaxPool1d(8), nn.Flatten(),
        )
        self.classifier = nn.Linear(96, 3)

    def forward(self, x):
        return self.classifier(self.features(x))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = splice(2400)
    x = F.one_hot(torch.tensor(x), 4).float().transpose(1, 2)
    y = torch.tensor(y)
    model = Net()
    for p in model.features.parameters():
        p.requires_grad = False
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.01)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x[:1800], y[:1800]), "valid": (x[1800:], y[1800:]),
            "optimizer": optimizer, "batch_size": 50, "epochs": 10}
