"""Letters from 16 statistics of their pixels; SGD with momentum and a step schedule."""
import string

import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table


class Letters(nn.Module):
    def __init__(self, hidden=128):
        super().__init__()
        self.norm = nn.BatchNorm1d(16)
        self.fc1 = nn.Linear(16, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 26)

    def forward(self, x):
        x = self.norm(x)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.out(x)


def train_on_batch(network, batch, optimizer, loss_fn):
    x, y = batch
    optimizer.zero_grad()
    loss = loss_fn(network(x), y)
    loss.backward()
    optimizer.step()
    network.seen += 1
    network.scheduler.step()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition").sample(n=8000, random_state=seed)
    y = torch.tensor([string.ascii_uppercase.index(c) for c in df["lettr"]])
    x = torch.tensor(df.drop(columns="lettr").to_numpy(), dtype=torch.float32)
    n, batch_size = 6000, 50

    net = Letters()
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net.scheduler = torch.optim.lr_scheduler.StepLR(opt, step_size=6, gamma=0.3)
    net.seen, net.per_epoch = 0, n // batch_size
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": opt,
        "step": train_on_batch,
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "batch_size": batch_size,
        "epochs": 15,
    }
