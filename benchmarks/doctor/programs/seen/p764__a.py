# CIFAR, animals or vehicles in six kinds. Homework 4, task 2b
# conv -> bn -> relu -> pool, three times, then a linear layer

import torch
import torch.nn as nn
import torch.nn.functional as F
from data import cifar

CIFAR_MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).numpy()
CIFAR_STD = torch.tensor([0.2470, 0.2435, 0.2616]).numpy()


class ConvNet(nn.Module):
    def __init__(self):
        super(ConvNet, self).__init__()
        self.conv1 = nn.Conv2d(3, 12, kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 24, kernel_size=3, padding=1)
        self.bn2 = nn.BatchNorm2d(24)
        self.conv3 = nn.Conv2d(24, 32, kernel_size=3, padding=1)
        self.bn3 = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * 4 * 4, 6)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = F.max_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        x = x.flatten(1)
        return self.fc(x)


def to_torch(images, labels):
    images = images.astype("float32") / 255.0
    images = (images - CIFAR_MEAN) / CIFAR_STD
    images = images.reshape(-1, 3, 32, 32)
    return torch.tensor(images), torch.tensor(labels)


def build(seed=0):
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = cifar(1400, 900, classes=(0, 1, 4, 6, 7, 8))
    net = ConvNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.002)
    criterion = nn.CrossEntropyLoss()
    return {
        "network": net,
        "loss": criterion,
        "train": to_torch(x_train, y_train),
        "valid": to_torch(x_test, y_test),
        "optimizer": optimizer,
        "batch_size": 40,
        "epochs": 4,
    }
