"""MNIST through a funnel."""
import torch
from torch import nn
from data import mnist


def funnel(*sizes):
    layers = []
    for a, b in zip(sizes[:-2], sizes[1:-1]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-2], sizes[-1]))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2500, 1000)
    x, xv = torch.tensor(x) / 255.0, torch.tensor(xv) / 255.0
    net = funnel(784, 64, 16, 32, 10)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x, torch.tensor(y)), valid=(xv, torch.tensor(yv)),
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), batch_size=50, epochs=6)
