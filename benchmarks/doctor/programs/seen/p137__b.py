"""Satellite pixels: gradient accumulation to imitate a larger batch."""
import torch
from torch import nn
from data import table

ACCUMULATE = 8


class Accumulator:
    def __init__(self, every):
        self.every = every
        self.count = 0

    def __call__(self, network, batch, optimizer, loss):
        x, y = batch
        value = loss(network(x), y)
        value.backward()
        self.count += 1
        if self.count % self.every == 0:
            optimizer.step()
            optimizer.zero_grad()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Satellite").sample(3500, random_state=1)
    y = torch.tensor(df["classes"].astype("category").cat.codes.to_numpy(), dtype=torch.long)
    x = torch.tensor(df.drop(columns="classes").to_numpy(), dtype=torch.float32)
    x = (x - x[:2500].mean(0)) / x[:2500].std(0)
    model = nn.Sequential(nn.Linear(36, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 6))
    opt = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x[:2500], y[:2500]), "valid": (x[2500:], y[2500:]),
            "optimizer": opt, "batch_size": 16, "epochs": 10, "step": Accumulator(ACCUMULATE)}
