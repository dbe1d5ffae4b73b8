"""Movements from a smart watch: LSTM over 100 time steps of 6 sensors."""
import torch
from torch import nn
from data import motions


class Recogniser(nn.Module):
    def __init__(self, channels=6, hidden=24, classes=4):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.lstm = nn.LSTM(channels, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x):
        x = self.norm(x).transpose(1, 2)
        h, _ = self.lstm(x)
        return self.fc(h.mean(1))


def step(network, batch, optimizer, loss):
    x, y = batch
    value = loss(network(x), y)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = (torch.as_tensor(a) for a in motions())
    x, xv = x[:, :, ::2], xv[:, :, ::2]
    net = Recogniser()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x, y), valid=(xv, yv),
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3), batch_size=8, epochs=30, step=step)
