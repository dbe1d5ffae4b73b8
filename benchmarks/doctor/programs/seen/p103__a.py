"""Iris: petal width from the other measurements and the species."""
import numpy as np
import torch
from sklearn.datasets import load_iris
from torch import nn, optim

iris = load_iris()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = nn.Linear(6, 20)
        self.l2 = nn.Linear(20, 1)

    def forward(self, inp):
        return self.l2(torch.tanh(self.l1(inp)))


def one_step(network, batch, optimizer, loss):
    inputs, labels = batch
    optimizer.zero_grad()
    outputs = network(inputs)
    error = loss(outputs, labels)
    error.backward()
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    rows = np.random.RandomState(42).permutation(150)
    onehot = np.eye(3)[iris.target]
    features = np.hstack([iris.data[:, :3], onehot])[rows].astype(np.float32)
    width = iris.data[rows, 3:].astype(np.float32)
    features[:, :3] = (features[:, :3] - features[:110, :3].mean(0)) / features[:110, :3].std(0)
    X, Y = torch.from_numpy(features), torch.from_numpy(width)
    net = Net()
    return {"network": net, "loss": nn.MSELoss(), "train": (X[:110], Y[:110]), "valid": (X[110:], Y[110:]),
            "optimizer": optim.SGD(net.parameters(), lr=0.05, momentum=0.9), "batch_size": 10, "epochs": 20, "step": one_step}
