"""Spam or not, from word frequencies (one logit)."""
import numpy as np
import torch
import torch.nn as nn
from data import table


def load():
    df = table("Spambase").drop_duplicates()
    target = df.columns[-1]
    y = (df[target].astype("category").cat.codes.to_numpy() > 0).astype("float32")
    x = np.log1p(df.drop(columns=target).to_numpy("float32"))
    order = np.random.RandomState(7).permutation(len(x))[:2500]
    x, y = x[order], y[order]
    mu, sd = x[:1800].mean(0), x[:1800].std(0) + 1e-6
    x = torch.from_numpy((x - mu) / sd)
    y = torch.from_numpy(y)[:, None]
    return (x[:1800], y[:1800]), (x[1800:], y[1800:])


def build(seed=0):
    torch.manual_seed(seed)
    train, valid = load()
    layers = [nn.Linear(train[0].shape[1], 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1)]
    layers.append(nn.Sigmoid())
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.BCEWithLogitsLoss()
    return dict(network=model, loss=criterion, train=train, valid=valid, optimizer=optimizer, batch_size=64, epochs=8)
