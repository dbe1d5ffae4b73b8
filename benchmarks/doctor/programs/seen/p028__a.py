"""MNIST, two hidden layers, the usual recipe."""
import torch
import torch.nn as nn
from data import mnist

LEARNING_RATE = 1e-3
BATCH_SIZE = 64


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(28 * 28, 128), nn.ReLU(),
            nn.Linear(128, 64), nn.ReLU(),
            nn.Linear(64, 10),
        )

    def forward(self, x):
        return self.layers(x)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2500, 1000)
    scale = lambda a: (torch.tensor(a, dtype=torch.float32) / 255 - 0.13) / 0.31
    model = MLP()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    return dict(network=model, loss=nn.CrossEntropyLoss(), train=(scale(x), torch.tensor(y)),
                valid=(scale(xv), torch.tensor(yv)), optimizer=optimizer, batch_size=BATCH_SIZE, epochs=4)
