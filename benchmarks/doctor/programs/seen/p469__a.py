'''
Four classes of CIFAR-10: plane, frog, horse, truck.

Few pictures, so there is much dropout.
'''
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from data import cifar


class SmallCNN(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3)
        self.conv2 = nn.Conv2d(16, 32, 3)
        self.conv3 = nn.Conv2d(32, 48, 3)
        self.drop1 = nn.Dropout2d(0.1)
        self.drop2 = nn.Dropout2d(0.1)
        self.drop3 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(48 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, num_classes)

    def forward(self, x):
        x = self.drop1(F.max_pool2d(F.relu(self.conv1(x)), 2))
        x = self.drop2(F.max_pool2d(F.relu(self.conv2(x)), 2))
        x = F.relu(self.conv3(x))
        x = self.drop3(x.flatten(1))
        x = self.drop3(F.relu(self.fc1(x)))
        return self.fc2(x)


def load(x, y, shuffle):
    x = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
    return DataLoader(TensorDataset(x, torch.from_numpy(y)), batch_size=32, shuffle=shuffle)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(2000, 800, classes=(0, 6, 7, 9))
    net = SmallCNN()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.002)
    return {'network': net, 'loss': nn.CrossEntropyLoss(), 'train': load(x, y, True), 'valid': load(xv, yv, False),
            'optimizer': optimizer, 'batch_size': 32, 'epochs': 8}
