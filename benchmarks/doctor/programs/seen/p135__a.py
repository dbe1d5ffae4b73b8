"""MNIST with sigmoid units, as in old books."""
import torch
from torch import nn
from data import mnist


class Classic(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, 60)
        self.output = nn.Linear(60, 10)

    def forward(self, x):
        return self.output(torch.sigmoid(self.hidden(x)))


def vectors(images):
    x = torch.tensor(images, dtype=torch.float32).reshape(len(images), -1)
    return x


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2500, 1000)
    net = Classic()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(vectors(x), torch.tensor(y)), valid=(vectors(xv), torch.tensor(yv)),
                optimizer=torch.optim.SGD(net.parameters(), lr=0.5), batch_size=25, epochs=8)
