"""Soybean diseases: 35 categorical symptoms, each looked up in its own little embedding."""
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

from data import table


class SymptomNet(nn.Module):
    def __init__(self, cardinalities, n_classes, dim=4, hidden=96):
        super().__init__()
        self.lookups = nn.ModuleList([nn.Embedding(n, dim) for n in cardinalities])
        self.mlp = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(dim * len(cardinalities), hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(hidden, n_classes),
        )

    def forward(self, x):
        looked_up = [emb(x[:, i]) for i, emb in enumerate(self.lookups)]
        return self.mlp(torch.cat(looked_up, dim=1))


@torch.no_grad()
def evaluate(network, loader):
    hits = rows = 0
    for x, y in loader:
        hits += (network(x).argmax(1) == y).sum().item()
        rows += len(y)
    return hits / rows


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Soybean").sample(frac=1.0, random_state=seed)
    y = df.pop("Class").astype("category").cat.codes.to_numpy(np.int64)
    codes = np.column_stack([df[c].fillna("missing").astype(str).astype("category").cat.codes for c in df])
    sizes = codes.max(0) + 1
    x, y = torch.from_numpy(codes.astype(np.int64)), torch.from_numpy(y)
    model = SymptomNet(sizes.tolist(), int(y.max()) + 1)
    n = 500
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "evaluate": evaluate,
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
        "train": DataLoader(TensorDataset(x[:n], y[:n]), batch_size=20, shuffle=True),
        "valid": DataLoader(TensorDataset(x[n:], y[n:]), batch_size=100),
        "batch_size": 20,
        "epochs": 18,
    }
