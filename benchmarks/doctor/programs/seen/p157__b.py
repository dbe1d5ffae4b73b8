"""Wisconsin's tumours, two outputs."""
import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

bc = load_breast_cancer()
X = torch.tensor(scale(bc.data)).float()
Y = torch.tensor(bc.target).long()


class Net(nn.Module):
    def __init__(self, input_size=30, hidden_size=32, num_classes=2):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        out = self.fc1(x)
        out = self.relu(out)
        return self.fc2(out)


def build(seed=0):
    torch.manual_seed(seed)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(99))
    a, b = order[:400], order[400:]
    net = Net()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (X[a], Y[a]),
        "valid": (X[b], Y[b]),
        "optimizer": optim.SGD(net.parameters(), lr=1e-1),
        "batch_size": 20,
        "epochs": 10,
    }
