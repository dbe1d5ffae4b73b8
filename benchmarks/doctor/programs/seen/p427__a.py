"""Credit scoring, the statistician's way: logistic regression with interactions, ridge penalty, L-BFGS."""
import numpy as np
import torch
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import nn

from data import table


def design(frame):
    amounts = np.log1p(frame[["Income", "Assets", "Debt", "Amount", "Price", "Expenses"]].fillna(0).to_numpy(float))
    terms = frame[["Seniority", "Time", "Age"]].to_numpy(float)
    yes = np.stack([frame["Records"] == "yes", frame["Job"] == "fixed", frame["Job"] == "partime", frame["Home"] == "owner"], 1)
    return np.concatenate([amounts, terms, yes], axis=1)


def penalized(network, batch, ridge=2e-3):
    x, y = batch
    score = network(x).squeeze(1)
    return nn.functional.binary_cross_entropy_with_logits(score, y) + ridge * network.weight.pow(2).sum()


def step(network, batch, optimizer, loss):
    def closure():
        optimizer.zero_grad()
        value = loss(network, batch)
        value.backward()
        return value

    optimizer.step(closure)


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("credit_data").sample(frac=1.0, random_state=21)
    n = 3300
    first = StandardScaler().fit(design(frame)[:n])
    products = PolynomialFeatures(2, include_bias=False).fit_transform(first.transform(design(frame)))
    second = StandardScaler().fit(products[:n])
    x = torch.tensor(second.transform(products).clip(-6, 6), dtype=torch.float32)
    y = torch.tensor((frame["Status"] == "bad").to_numpy(), dtype=torch.float32)
    network = nn.Linear(x.shape[1], 1)
    nn.init.zeros_(network.weight)
    return {
        "network": network,
        "objective": penalized,
        "step": step,
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.LBFGS(network.parameters(), max_iter=10, history_size=10, line_search_fn="strong_wolfe"),
        "batch_size": n,
        "epochs": 12,
    }
