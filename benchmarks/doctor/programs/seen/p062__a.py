"""Caravan policies: who buys? Probability of the rare class, judged by its ranking."""
import pandas as pd
import torch
import torch.nn as nn
from sklearn.metrics import roc_auc_score
from data import table


@torch.no_grad()
def evaluate(network, valid):
    network.eval()
    x, y = valid
    return roc_auc_score(y.numpy(), network(x).numpy())


def build(seed=0):
    torch.manual_seed(seed)
    df = table("ticdata_caravan").drop_duplicates()
    y = (df.pop("CARAVAN") == "insurance").to_numpy().astype("float32")
    x = pd.get_dummies(df).to_numpy("float32")
    x = (x - x[:6000].mean(0)) / (x[:6000].std(0) + 1e-6)
    x, y = torch.tensor(x), torch.tensor(y)
    net = nn.Sequential(nn.Linear(x.shape[1], 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 1), nn.Flatten(0))
    return {"network": net, "loss": nn.BCEWithLogitsLoss(), "train": (x[:6000], y[:6000]), "valid": (x[6000:], y[6000:]),
            "evaluate": evaluate, "optimizer": torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1),
            "batch_size": 100, "epochs": 8}
