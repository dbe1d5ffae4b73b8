'''
Fashion-MNIST with a small LeNet, following the 60 minute blitz.
'''
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 4 * 4, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def to_tensor(images):
    return (torch.from_numpy(images).float() / 255.0 - 0.5).unsqueeze(1) / 0.5


def build(seed=0):
    torch.manual_seed(seed)
    x, y, x_test, y_test = fashion(4000, 1000)
    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    return {'network': net, 'loss': criterion, 'optimizer': optimizer, 'batch_size': 32, 'epochs': 4,
            'train': (to_tensor(x), torch.from_numpy(y)), 'valid': (to_tensor(x_test), torch.from_numpy(y_test))}
