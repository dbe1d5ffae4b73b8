# Wine cultivars with the network of my neural computation course: sigmoid units, gradient descent on the full data set
import torch
from sklearn import datasets
from torch import nn, optim

wine = datasets.load_wine()


class SigmoidNetwork(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super(SigmoidNetwork, self).__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, classes)

    def forward(self, x):
        x = torch.sigmoid(self.first(x))
        x = torch.sigmoid(self.second(x))
        return self.last(x)


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(wine.data, dtype=torch.float32)
    y = torch.tensor(wine.target)
    test = torch.arange(len(x)) % 10 < 3
    mean, std = x[~test].mean(0), x[~test].std(0)
    x = (x - mean) / std
    network = SigmoidNetwork(13, 20, 3)
    optimizer = optim.SGD(network.parameters(), lr=1.0, momentum=0.8)
    return {'network': network, 'loss': nn.CrossEntropyLoss(), 'optimizer': optimizer, 'train': (x[~test], y[~test]),
            'valid': (x[test], y[test]), 'batch_size': int((~test).sum()), 'epochs': 300}
