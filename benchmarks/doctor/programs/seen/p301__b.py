"""Fashion-MNIST with a small CNN, after the 60 minute blitz."""
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

from data import fashion


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 10, 3)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(10, 20, 3)
        self.fc1 = nn.Linear(20 * 5 * 5, 84)
        self.fc2 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        return x


def transform(images):
    return (torch.from_numpy(images).float().div(255.0).unsqueeze(1) - 0.286) / 0.353


def build(seed=0):
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = fashion(2500, 1000)
    trainset = (transform(x_train), torch.from_numpy(y_train))
    testset = (transform(x_test), torch.from_numpy(y_test))

    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.04, momentum=0.9)

    return {
        "network": net,
        "loss": criterion,
        "train": trainset,
        "valid": testset,
        "optimizer": optimizer,
        "batch_size": 32,
        "epochs": 7,
    }
