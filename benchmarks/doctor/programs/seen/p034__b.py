"""Caravan insurance: who buys? Two outputs, plain cross-entropy."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
from data import table


def load():
    df = table("ticdata_caravan").drop_duplicates()
    y = (df.pop("CARAVAN") == "insurance").to_numpy().astype("int64")
    x = pd.get_dummies(df).to_numpy("float32")
    x = (x - x.mean(0)) / (x.std(0) + 1e-6)
    return torch.tensor(x), torch.tensor(y)


def balanced_accuracy(network, valid):
    network.eval()
    with torch.no_grad():
        predicted = network(valid[0]).argmax(1)
    return float(np.mean([(predicted[valid[1] == k] == k).float().mean() for k in (0, 1)]))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load()
    net = nn.Sequential(nn.Linear(x.shape[1], 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))
    loss = nn.CrossEntropyLoss()
    return {"network": net, "loss": loss, "train": (x[:6000], y[:6000]), "valid": (x[6000:], y[6000:]),
            "evaluate": balanced_accuracy, "optimizer": torch.optim.Adam(net.parameters(), lr=5e-4, weight_decay=3e-2),
            "batch_size": 64, "epochs": 6}
