"""Digits with a normalization of hidden features written in NumPy."""
import numpy as np
import torch
from torch import nn
from sklearn.datasets import load_digits


def l2_normalize(t):
    a = t.detach().cpu().numpy()
    a = a / (np.linalg.norm(a, axis=1, keepdims=True) + 1e-8)
    return torch.from_numpy(a) * 8


class Embedder(nn.Module):
    def __init__(self, dim=5):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, dim))
        self.cls = nn.Linear(dim, 10, bias=False)

    def forward(self, x):
        return self.cls(l2_normalize(self.body(x)))


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    X = torch.as_tensor(X[order] / 16, dtype=torch.float32)
    y = torch.as_tensor(y[order])
    m = Embedder()
    return {"network": m, "loss": nn.CrossEntropyLoss(), "train": (X[:1200], y[:1200]), "valid": (X[1200:], y[1200:]),
            "optimizer": torch.optim.Adam(m.parameters(), lr=5e-3), "batch_size": 48, "epochs": 10}
