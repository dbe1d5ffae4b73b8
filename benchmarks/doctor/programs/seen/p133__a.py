"""Properties of animals from the others: which fly, swim, hunt, live with us."""
import numpy as np
import torch
import torch.nn as nn
from data import table

TARGETS = ["airborne", "aquatic", "predator", "domestic"]


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Zoo").sample(frac=1, random_state=1)
    y = df[TARGETS].astype(int).to_numpy()
    legs = df["legs"].astype(float).to_numpy()[:, None] / 4
    rest = df.drop(columns=[*TARGETS, "legs", "type"]).astype(int).to_numpy()
    kind = (df["type"].to_numpy()[:, None] == sorted(df["type"].unique())).astype(int)
    x = torch.tensor(np.hstack([rest, legs, kind]), dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    net = nn.Sequential(nn.Linear(x.shape[1], 24), nn.Tanh(), nn.Linear(24, len(TARGETS)), nn.Sigmoid())
    return {"network": net, "loss": nn.BCELoss(), "train": (x[:70], y[:70]), "valid": (x[70:], y[70:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=1e-3), "batch_size": 10, "epochs": 30}
