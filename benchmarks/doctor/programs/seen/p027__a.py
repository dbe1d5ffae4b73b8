"""Iris: three species."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_iris


class IrisNet(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.fc1 = nn.Linear(4, hidden)
        self.fc2 = nn.Linear(hidden, 3)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        return F.log_softmax(self.fc2(x), dim=0)


def build(seed=0):
    torch.manual_seed(seed)
    iris = load_iris()
    order = torch.randperm(150, generator=torch.Generator().manual_seed(21))
    x, y = torch.tensor(iris.data, dtype=torch.float32)[order], torch.tensor(iris.target)[order]
    x = (x - x[:100].mean(0)) / x[:100].std(0)
    net = IrisNet()
    return dict(network=net, loss=nn.NLLLoss(), train=(x[:100], y[:100]), valid=(x[100:], y[100:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=0.02), batch_size=5, epochs=10)
