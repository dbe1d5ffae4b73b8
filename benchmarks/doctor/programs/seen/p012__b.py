"""Diabetes in Pima women; some measurements were not taken."""
import torch
import torch.nn as nn
from data import table


def build(seed=0):
    torch.manual_seed(seed)
    df = table("PimaIndiansDiabetes2").sample(frac=1, random_state=6)
    y = torch.tensor((df.pop("diabetes") == "pos").to_numpy(), dtype=torch.float32)
    df = (df - df.mean()) / df.std()
    x = torch.tensor(df.to_numpy(), dtype=torch.float32)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    return {"network": model, "loss": nn.BCEWithLogitsLoss(), "train": (x[:560], y[:560]), "valid": (x[560:], y[560:]),
            "optimizer": optimizer, "batch_size": 32, "epochs": 12}
