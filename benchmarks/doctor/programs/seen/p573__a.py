"""Churn of telephone customers: a wide-and-deep network, judged by the area under the ROC curve."""
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from data import table


class WideAndDeep(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.wide = nn.Linear(n_in, 1)
        self.deep = nn.Sequential(nn.Linear(n_in, 32), nn.LeakyReLU(), nn.Dropout(0.2), nn.Linear(32, 16), nn.LeakyReLU(),
                                  nn.Linear(16, 1, bias=False))

    def forward(self, x):
        return (self.wide(x) + self.deep(x)).squeeze(-1)


def features(df):
    df = df.drop(columns=["state"])
    return pd.get_dummies(df, drop_first=True, dtype=float).to_numpy(np.float32)


def validate(model, valid):
    model.eval()
    x, y = valid
    with torch.no_grad():
        prob = torch.sigmoid(model(x))
    return roc_auc_score(y.numpy(), prob.numpy())


def build(seed=0):
    torch.manual_seed(seed)
    df = table("mlc_churn")
    y = (df.pop("churn") == "yes").to_numpy(np.float32)
    x = features(df)
    x = (x - x[:3500].mean(0)) / x[:3500].std(0)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    model = WideAndDeep(x.shape[1])
    weight = torch.tensor(2.0)  # a lost customer costs more than a call
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(pos_weight=weight),
        "optimizer": torch.optim.RMSprop(model.parameters(), lr=1e-3),
        "train": (x[:3500], y[:3500]),
        "valid": (x[3500:], y[3500:]),
        "batch_size": 64,
        "epochs": 15,
        "evaluate": validate,
    }
