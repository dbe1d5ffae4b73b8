"""Digits with gradient accumulation over four small batches."""
import torch
from torch import nn
from sklearn.datasets import load_digits

EVERY = 4


class Trainer:
    def __init__(self):
        self.seen = 0

    def step(self, network, batch, optimizer, loss):
        x, y = batch
        (loss(network(x), y) / EVERY).backward()
        self.seen += 1
        if self.seen % EVERY == 0:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()


def build(seed=0):
    torch.manual_seed(seed)
    d = load_digits()
    x, y = torch.tensor(d.images).float().unsqueeze(1) / 16, torch.tensor(d.target)
    p = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))
    x, y = x[p], y[p]
    net = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.Flatten(),
                        nn.Linear(96, 10))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:1300], y[:1300]), valid=(x[1300:], y[1300:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3), batch_size=10, epochs=8, step=Trainer().step)
