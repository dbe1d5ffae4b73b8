# Well or poorly segmented cells (Hill et al., 2007), from 56 image measurements.
# Assignment 3: train an MLP and report its accuracy on the test rows.
import numpy as np
import torch
from torch import nn

from data import table


def load_cells():
    df = table("cells")
    is_train = (df["case"] == "Train").to_numpy()
    y = (df["class"] == "WS").to_numpy(np.float32)
    x = df.drop(columns=["case", "class"]).to_numpy(np.float32)
    mu, sigma = x[is_train].mean(axis=0), x[is_train].std(axis=0)
    x = np.clip((x - mu) / sigma, -5, 5)
    return (torch.tensor(x[is_train]), torch.tensor(y[is_train])), (torch.tensor(x[~is_train]), torch.tensor(y[~is_train]))


def bce(logits, labels):
    return nn.functional.binary_cross_entropy_with_logits(logits.squeeze(1), labels)


def accuracy(model, data):
    x, y = data
    model.eval()
    with torch.no_grad():
        predicted = (torch.sigmoid(model(x)) > 0.5).squeeze(1)
        return (predicted == y.bool()).float().mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    train, test = load_cells()
    model = nn.Sequential(
        nn.Linear(train[0].shape[1], 40),
        nn.LeakyReLU(0.1),
        nn.Dropout(0.3),
        nn.Linear(40, 20),
        nn.LeakyReLU(0.1),
        nn.Linear(20, 1),
    )
    return {
        "network": model,
        "loss": bce,
        "evaluate": accuracy,
        "train": train,
        "valid": test,
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4),
        "batch_size": 32,
        "epochs": 20,
    }
