"""Penguins: species and sex from one trunk, body mass from the same."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table


class MultiTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.species = nn.Linear(32, 3)
        self.sex = nn.Linear(32, 1)
        self.mass = nn.Linear(32, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.species(h), self.sex(h)[:, 0], self.mass(h)[:, 0]


def total_loss(network, batch):
    x, y = batch
    species, sex, mass = network(x)
    return (F.cross_entropy(species, y[:, 0].long())
            + F.binary_cross_entropy_with_logits(sex, y[:, 1])
            + F.mse_loss(mass, y[:, 2]))


def step(network, batch, optimizer, loss):
    optimizer.zero_grad()
    value = loss(network, batch)
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return value.item()


def evaluate(network, valid):
    """Mean of the accuracies of species and sex."""
    network.eval()
    x, y = valid
    with torch.no_grad():
        species, sex, _ = network(x)
    return float(((species.argmax(1) == y[:, 0]).float().mean() + ((sex > 0) == (y[:, 1] > 0)).float().mean()) / 2)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("penguins").dropna().sample(frac=1.0, random_state=3)
    x = df[["bill_length_mm", "bill_depth_mm", "flipper_length_mm"]].to_numpy(np.float32)
    x = (x - x[:240].mean(0)) / x[:240].std(0)
    mass = df["body_mass_g"].to_numpy(np.float32)
    species = df["species"].astype("category").cat.codes.to_numpy(np.float32)
    y = np.stack([species, (df["sex"] == "male").to_numpy(np.float32), mass], 1)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    net = MultiTask()
    return {"network": net, "objective": total_loss, "step": step, "evaluate": evaluate, "train": (x[:240], y[:240]),
            "valid": (x[240:], y[240:]), "optimizer": torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
            "batch_size": 16, "epochs": 25}
