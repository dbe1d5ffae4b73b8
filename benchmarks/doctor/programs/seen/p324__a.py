"""Credit scoring baseline (notebook export)."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
from data import table

# %% read
df = table("credit_data").drop_duplicates()
df = df.sample(frac=1, random_state=2020).reset_index(drop=True)
cat_cols = ["Home", "Marital", "Records", "Job"]
num_cols = ["Seniority", "Time", "Age", "Expenses", "Income", "Assets", "Debt", "Amount", "Price"]

# %% features: rows with gaps are left out
df[["Assets", "Debt"]] = np.log1p(df[["Assets", "Debt"]])
complete = df.dropna()
features = pd.get_dummies(complete[num_cols + cat_cols], columns=cat_cols).astype("float32")
target = (df["Status"] == "bad").to_numpy("float32")
X, y = features.to_numpy(), target[: len(features)]

# %% split and scale
N_TRAIN = 3000
mu, sd = X[:N_TRAIN].mean(0), X[:N_TRAIN].std(0)
X = (X - mu) / sd


# %% model
def make_model(n_in):
    return nn.Sequential(nn.Linear(n_in, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))


def build(seed=0):
    torch.manual_seed(seed)
    X_all, y_all = torch.from_numpy(X), torch.from_numpy(y).view(-1, 1)
    model = make_model(X.shape[1])
    return dict(
        network=model,
        loss=nn.BCEWithLogitsLoss(),
        train=(X_all[:N_TRAIN], y_all[:N_TRAIN]),
        valid=(X_all[N_TRAIN:], y_all[N_TRAIN:]),
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        batch_size=64,
        epochs=10,
    )
