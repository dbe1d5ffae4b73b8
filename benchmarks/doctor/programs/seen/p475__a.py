"""Who buys a caravan insurance policy? (CoIL 2000). Logistic regression, positives weighted up."""

import re

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import table


def lower_end(value) -> float:
    """'63 - 75%' -> 63, 'f 1000-4999' -> 1000, 2.0 -> 2."""
    found = re.search(r"\d+(\.\d+)?", str(value))
    return float(found.group()) if found else 0.0


def load() -> tuple[np.ndarray, np.ndarray]:
    df = table("ticdata_caravan")
    y = (df.pop("CARAVAN") == "insurance").to_numpy(np.float32)
    kinds = pd.get_dummies(df[["STYPE", "MOSHOOFD"]]).to_numpy(np.float32)
    rest = df.drop(columns=["STYPE", "MOSHOOFD"])
    numbers = np.stack([rest[c].map({v: lower_end(v) for v in rest[c].unique()}).to_numpy(np.float32) for c in rest], axis=1)
    return np.concatenate([np.sqrt(numbers), kinds], axis=1), y


def build(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    x, y = load()
    n = 5822  # the official training part
    mean, std = x[:n].mean(0), x[:n].std(0) + 1e-2
    x, y = torch.from_numpy((x - mean) / std), torch.from_numpy(y).unsqueeze(1)
    positives = y[:n].mean()
    network = nn.Linear(x.shape[1], 1)
    return {
        "network": network,
        "loss": nn.BCEWithLogitsLoss(pos_weight=(1 - positives) / positives),
        "train": DataLoader(TensorDataset(x[:n], y[:n]), batch_size=128, shuffle=True),
        "valid": DataLoader(TensorDataset(x[n:], y[n:]), batch_size=1000),
        "optimizer": torch.optim.SGD(network.parameters(), lr=0.01, weight_decay=1e-2),
        "batch_size": 128,
        "epochs": 12,
    }
