"""MNIST with functional dropout."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import mnist


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5, stride=2)
        self.conv2 = nn.Conv2d(8, 16, 5, stride=2)
        self.fc = nn.Linear(256, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x)).flatten(1)
        x = F.dropout(x, 0.6, training=self.training)
        return self.fc(x)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2000, 1000)
    t = lambda a: torch.tensor(a)[:, None].float() / 255
    net = Net()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(t(x), torch.tensor(y)), valid=(t(xv), torch.tensor(yv)),
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3), batch_size=50, epochs=5)
