"""Log sale prices of houses in Ames from numbers and quality grades; MLP with dropout."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

from data import table


class HousePriceNet(nn.Module):
    def __init__(self, in_features, p=0.5):
        super().__init__()
        self.model = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(in_features, 128),
            nn.ReLU(),
            nn.Dropout(p),
            nn.Linear(128, 48),
            nn.ReLU(),
            nn.Dropout(p),
            nn.Linear(48, 1),
        )

    def forward(self, x):
        return self.model(x)


def r2(model, loader):
    predictions, truth = [], []
    with torch.no_grad():
        for xb, yb in loader:
            predictions.append(model(xb))
            truth.append(yb)
    predictions, truth = torch.cat(predictions), torch.cat(truth)
    residual = (truth - predictions).pow(2).sum()
    return (1 - residual / (truth - truth.mean()).pow(2).sum()).item()


def load_frames():
    frame = table("ames").sample(frac=1.0, random_state=21)
    price = np.log10(frame.pop("Sale_Price"))
    numbers = frame.select_dtypes("number").drop(columns=["Longitude", "Latitude"])
    grades = pd.get_dummies(frame[["Neighborhood", "Exter_Cond", "Heating_QC", "Bsmt_Exposure", "Garage_Finish"]])
    x = pd.concat([numbers, grades.astype(float)], axis=1)
    return x.to_numpy(np.float32), price.to_numpy(np.float32)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_frames()
    n = 2000
    x = np.clip((x - x[:n].mean(0)) / (x[:n].std(0) + 1e-3), -4, 4)
    y = (y - y[:n].mean()) / y[:n].std()
    x, y = torch.tensor(x), torch.tensor(y).view(-1, 1)
    model = HousePriceNet(x.shape[1])
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "evaluate": r2,
        "train": DataLoader(TensorDataset(x[:n], y[:n]), batch_size=40, shuffle=True, generator=torch.Generator().manual_seed(seed)),
        "valid": DataLoader(TensorDataset(x[n:], y[n:]), batch_size=256),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 40,
        "epochs": 12,
    }
