"""Credit: does a customer pay? Numeric columns and two categories."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
from data import table


def features():
    df = table("credit_data").dropna().sample(2500, random_state=1)
    df["burden"] = df["Amount"] / df["Price"].clip(lower=1)
    df["risk_class"] = np.where(df["Status"] == "bad", 2.0, 1.0) + 0.1 * (df["Records"] == "yes")
    y = (df["Status"] == "bad").to_numpy(np.float32)
    x = df.drop(columns=["Status"])
    x = pd.get_dummies(x, columns=["Home", "Marital", "Records", "Job"]).to_numpy(np.float32)
    x = (x - x[:1800].mean(0)) / (x[:1800].std(0) + 1e-6)
    return torch.from_numpy(x), torch.from_numpy(y)[:, None]


def build(seed=0):
    torch.manual_seed(seed)
    x, y = features()
    model = nn.Sequential(nn.Linear(x.shape[1], 24), nn.ReLU(), nn.Linear(24, 1))
    return {"network": model, "loss": nn.BCEWithLogitsLoss(), "train": (x[:1800], y[:1800]), "valid": (x[1800:], y[1800:]),
            "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3), "batch_size": 50, "epochs": 8}
