"""Boston: sum of squares, step size divided accordingly."""
import torch
import torch.nn as nn
from data import table

FEATURES = ["crim", "indus", "nox", "rm", "age", "dis", "tax", "ptratio", "lstat"]


def sum_of_squares(p, t):
    return ((p - t) ** 2).sum()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("BostonHousing2").sample(frac=1, random_state=15)
    x = torch.tensor(df[FEATURES].to_numpy(), dtype=torch.float32)
    x = (x - x[:400].mean(0)) / x[:400].std(0)
    y = torch.tensor(df["cmedv"].to_numpy(), dtype=torch.float32).unsqueeze(1)
    y = (y - y[:400].mean()) / y[:400].std()
    net = nn.Sequential(nn.Linear(9, 24), nn.ReLU(), nn.Linear(24, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.002)
    return {"network": net, "loss": sum_of_squares, "train": (x[:400], y[:400]), "valid": (x[400:], y[400:]),
            "optimizer": optimizer, "batch_size": 20, "epochs": 25}
