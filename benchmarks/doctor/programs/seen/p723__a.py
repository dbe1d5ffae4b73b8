"""Customer churn with a WeightedRandomSampler: about one in seven leaves."""
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from data import table


def prepare(frame):
    frame = frame.copy()
    y = (frame.pop("churn") == "yes").to_numpy(np.float32)
    frame["international_plan"] = (frame["international_plan"] == "yes").astype(float)
    frame["voice_mail_plan"] = (frame["voice_mail_plan"] == "yes").astype(float)
    frame = frame.drop(columns=["state", "total_day_charge", "total_eve_charge", "total_night_charge", "total_intl_charge"])
    frame = pd.get_dummies(frame, columns=["area_code"], dtype=float)
    return frame.to_numpy(np.float32), y


def build(seed=0):
    torch.manual_seed(seed)
    x, y = prepare(table("mlc_churn").sample(frac=1.0, random_state=seed))
    n = 3500
    mean, std = x[:n].mean(0), x[:n].std(0)
    x = torch.from_numpy((x - mean) / std)
    y = torch.from_numpy(y).unsqueeze(1)

    labels = y[:n, 0].long()
    weights = 1.0 / torch.bincount(labels).float()
    sampler = WeightedRandomSampler(weights[labels], num_samples=n, replacement=True)

    model = nn.Sequential(nn.Linear(x.shape[1], 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-5),
        "train": DataLoader(TensorDataset(x[:n], y[:n]), batch_size=64, sampler=sampler),
        "valid": DataLoader(TensorDataset(x[n:], y[n:]), batch_size=500),
        "batch_size": 64,
        "epochs": 12,
    }
