# Neural network from scratch (almost): parameters as plain tensors, sigmoid units, SGD.
# Data: handwritten digits
import torch
import torch.nn as nn
from data import mnist

n_inputs, n_hidden, n_outputs = 784, 64, 10


def init_weights(fan_in, fan_out):
    return nn.Parameter((torch.rand(fan_in, fan_out) - 0.5) * 2 / fan_in ** 0.5)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.W1 = init_weights(n_inputs, n_hidden)
        self.b1 = nn.Parameter(torch.zeros(n_hidden))
        self.W2 = init_weights(n_hidden, n_hidden)
        self.b2 = nn.Parameter(torch.zeros(n_hidden))
        self.W3 = init_weights(n_hidden, n_outputs)
        self.b3 = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, X):
        A1 = torch.sigmoid(X @ self.W1 + self.b1)
        A2 = torch.sigmoid(A1 @ self.W2 + self.b2)
        return A2 @ self.W3 + self.b3


def build(seed=0):
    torch.manual_seed(seed)
    X, y, X_test, y_test = mnist(2500, 1000)
    X = torch.tensor(X).reshape(-1, 784).float() / 255
    X_test = torch.tensor(X_test).reshape(-1, 784).float() / 255
    net = Network()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (X, torch.tensor(y)), "valid": (X_test, torch.tensor(y_test)),
            "optimizer": torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9), "batch_size": 25, "epochs": 15}
