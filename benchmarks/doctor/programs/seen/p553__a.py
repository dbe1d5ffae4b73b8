# Credit scoring, homework 3
# predict whether an applicant is a bad risk
import numpy as np
import pandas as pd
import torch
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

from data import table


def load():
    df = table("credit_data")
    y = (df.pop("Status") == "bad").astype(int).values
    df = pd.get_dummies(df, columns=["Home", "Marital", "Records", "Job"], dtype=float)
    return df.values.astype(float), y


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load()
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=1, stratify=y)

    # missing values
    imp = SimpleImputer(strategy="median").fit(X_train)
    X_train, X_test = imp.transform(X_train), imp.transform(X_test)

    # scaling
    scaler = StandardScaler()
    X_train_scaled = scaler.fit_transform(X_train)
    X_test_scaled = scaler.transform(X_test)

    # to tensors
    Xtr = torch.tensor(X_train, dtype=torch.float32)
    Xte = torch.tensor(X_test, dtype=torch.float32)
    ytr = torch.tensor(y_train, dtype=torch.float32).view(-1, 1)
    yte = torch.tensor(y_test, dtype=torch.float32).view(-1, 1)

    model = nn.Sequential(
        nn.Linear(Xtr.shape[1], 32),
        nn.ReLU(),
        nn.Linear(32, 16),
        nn.ReLU(),
        nn.Linear(16, 1),
    )
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    return dict(network=model, loss=criterion, optimizer=optimizer, train=(Xtr, ytr), valid=(Xte, yte),
                batch_size=64, epochs=10)
