"""Credit scoring baseline (PyTorch port of our sklearn pipeline)."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn

from data import table

NUMERIC = ["Seniority", "Time", "Age", "Expenses", "Income", "Assets", "Debt", "Amount", "Price"]
CATEGORICAL = ["Home", "Marital", "Records", "Job"]
N_TRAIN = 3400


def load_matrix(seed):
    df = table("credit_data").sample(frac=1.0, random_state=seed).reset_index(drop=True)
    target = (df["Status"] == "bad").to_numpy(np.float32)
    numbers = df[NUMERIC].copy()
    numbers = numbers.fillna(numbers[:N_TRAIN].median()).to_numpy(np.float32)
    dummies = pd.get_dummies(df[CATEGORICAL].fillna("unknown")).to_numpy(np.float32)
    return np.hstack([numbers, dummies]), target


class Scorer(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.fc1 = nn.Linear(n_in, 32)
        self.fc2 = nn.Linear(32, 16)
        self.fc3 = nn.Linear(16, 1)

    def forward(self, x):
        x = torch.tanh(self.fc1(x))
        x = torch.tanh(self.fc2(x))
        return self.fc3(x)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_matrix(seed)
    x = torch.from_numpy(x)
    y = torch.from_numpy(y).reshape(-1, 1)
    model = Scorer(x.shape[1])
    share = y[:N_TRAIN].mean()
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(pos_weight=(1 - share) / share),
        "train": (x[:N_TRAIN], y[:N_TRAIN]),
        "valid": (x[N_TRAIN:], y[N_TRAIN:]),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9),
        "batch_size": 32,
        "epochs": 20,
    }
