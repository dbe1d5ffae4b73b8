"""Credit scoring: who pays back?

Train / test scoring job. Called nightly with `build`, all settings below.
"""
import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import table

SETTINGS = {"hidden": 32, "lr": 2e-3, "batch_size": 64, "epochs": 15, "test_size": 0.25}
NUMERIC = ["Seniority", "Time", "Age", "Expenses", "Income", "Assets", "Debt", "Amount", "Price"]
CATEGORIC = ["Home", "Marital", "Records", "Job"]


class Applications(Dataset):
    def __init__(self, x, y):
        self.x = torch.as_tensor(np.asarray(x), dtype=torch.float32)
        self.y = torch.as_tensor(np.asarray(y), dtype=torch.float32)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Scorer(nn.Module):
    def __init__(self, columns, hidden):
        super().__init__()
        self.hidden1 = nn.Linear(columns, hidden)
        self.hidden2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 1)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        x = self.drop(torch.relu(self.hidden1(x)))
        x = self.drop(torch.relu(self.hidden2(x)))
        return self.out(x).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("credit_data").dropna()
    X = pd.concat([df[NUMERIC], pd.get_dummies(df[CATEGORIC])], axis=1).astype(float)
    y = (df["Status"] == "good").astype(float)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=SETTINGS["test_size"], random_state=13, stratify=y
    )
    scaler = StandardScaler().fit(X_train)
    X_train_s, X_test_s = scaler.transform(X_train), scaler.transform(X_test)

    train = Applications(X_train, y_train)
    test = Applications(X_test, y_test)
    net = Scorer(X_train_s.shape[1], SETTINGS["hidden"])
    return {
        "network": net,
        "loss": nn.BCEWithLogitsLoss(),
        "train": DataLoader(train, batch_size=SETTINGS["batch_size"], shuffle=True),
        "valid": DataLoader(test, batch_size=256),
        "optimizer": torch.optim.Adam(net.parameters(), lr=SETTINGS["lr"]),
        "batch_size": SETTINGS["batch_size"],
        "epochs": SETTINGS["epochs"],
    }
