"""Soybean diseases from categorical symptoms (one-hot)."""
import pandas as pd
import torch
import torch.nn as nn
from data import table


def get_data():
    df = table("Soybean").drop_duplicates().sample(frac=1, random_state=4)
    y = torch.tensor(df["Class"].astype("category").cat.codes.to_numpy(), dtype=torch.long)
    x = pd.get_dummies(df.drop(columns="Class").fillna(-1).astype("category"))
    return torch.tensor(x.to_numpy(), dtype=torch.float32), y


def build(seed=0):
    torch.manual_seed(seed)
    x, y = get_data()
    model = nn.Sequential(nn.Linear(x.shape[1], 40), nn.ReLU(), nn.Linear(40, int(y.max()) + 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005, weight_decay=0.5)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x[:440], y[:440]), "valid": (x[440:], y[440:]),
            "optimizer": optimizer, "batch_size": 24, "epochs": 20}
