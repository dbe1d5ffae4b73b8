"""Handwritten digits with a plain feed-forward net."""
import torch
from torch import nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 64)
        self.fc2 = nn.Linear(64, 32)
        self.out = nn.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.out(x)


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, test_size=0.3, random_state=1, stratify=y)
    as_tensors = lambda X, y: (torch.tensor(X, dtype=torch.float32), torch.tensor(y))
    net = Net()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": as_tensors(X_train, y_train),
        "valid": as_tensors(X_test, y_test),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        "batch_size": 64,
        "epochs": 6,
    }
