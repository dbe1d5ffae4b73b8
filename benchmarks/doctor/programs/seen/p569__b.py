"""Ames again, numeric columns only, on a machine with little memory: micro-batches of 16, one step per eight of them."""
import numpy as np
import torch
from torch import nn

from data import table


class AccumulatingTrainer:
    """Collects gradients over `every` micro-batches before the optimizer moves."""

    def __init__(self, every):
        self.every = every
        self.seen = 0

    def __call__(self, network, batch, optimizer, criterion):
        x, y = batch
        loss = criterion(network(x), y) / self.every
        loss.backward()
        self.seen += 1
        if self.seen % self.every == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss


def arrays():
    df = table("ames").sample(frac=1.0, random_state=0)
    price = np.log10(df.pop("Sale_Price").to_numpy())
    x = df.select_dtypes("number").to_numpy(float)
    return x, price


def build(seed=0):
    torch.manual_seed(seed)
    x, price = arrays()
    n = 2200
    x = np.clip((x - x[:n].mean(0)) / x[:n].std(0), -4, 4)
    price = (price - price[:n].mean()) / price[:n].std()
    x, price = torch.tensor(x, dtype=torch.float32), torch.tensor(price, dtype=torch.float32)[:, None]

    model = nn.Sequential()
    width = x.shape[1]
    for i, units in enumerate((64, 32)):
        model.add_module(f"hidden{i}", nn.Linear(width, units))
        model.add_module(f"act{i}", nn.ReLU())
        width = units
    model.add_module("price", nn.Linear(width, 1))

    return {
        "network": model,
        "loss": nn.MSELoss(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9),
        "step": AccumulatingTrainer(every=8),
        "train": (x[:n], price[:n]),
        "valid": (x[n:], price[n:]),
        "batch_size": 16,
        "epochs": 20,
    }
