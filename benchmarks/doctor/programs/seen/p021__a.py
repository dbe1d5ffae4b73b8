"""House values in Boston, small table, plain SGD."""
import pandas as pd
import torch
import torch.nn as nn
from data import table


def build(seed=0):
    torch.manual_seed(seed)
    df = table("BostonHousing2").sample(frac=1, random_state=12)
    x = df[["crim", "indus", "nox", "rm", "age", "dis", "tax", "ptratio", "lstat"]]
    x = torch.tensor(((x - x[:400].mean()) / x[:400].std()).to_numpy(), dtype=torch.float32)
    y = torch.tensor(df["cmedv"].to_numpy(), dtype=torch.float32).view(-1, 1)
    y = (y - y[:400].mean()) / y[:400].std()
    model = nn.Sequential(nn.Linear(9, 30), nn.ReLU(), nn.Linear(30, 1))
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return {"network": model, "loss": criterion, "train": (x[:400], y[:400]), "valid": (x[400:], y[400:]),
            "optimizer": optimizer, "batch_size": 100, "epochs": 40}
