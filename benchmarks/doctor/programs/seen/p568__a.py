import torch
import torch.nn as nn
import torch.nn.functional as F

from data import cifar


# small LeNet for CIFAR (cats, dogs left out: too hard for this size)
class LeNet(nn.Module):
    def __init__(self, num_classes):
        super(LeNet, self).__init__()
        self.conv1 = nn.Conv2d(3, 16, 5, stride=2)
        self.conv2 = nn.Conv2d(16, 32, 3)
        self.fc1 = nn.Linear(32 * 6 * 6, 96)
        self.fc2 = nn.Linear(96, num_classes)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.dropout(x, 0.5, training=self.training)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, 0.5, training=self.training)
        x = self.fc2(x)
        return x


CLASSES = (0, 1, 4, 6, 8)  # airplane, automobile, deer, frog, ship


def build(seed=0):
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = cifar(2500, 1000, CLASSES)

    mean = torch.tensor([0.49, 0.48, 0.45]).view(3, 1, 1)
    std = torch.tensor([0.25, 0.24, 0.26]).view(3, 1, 1)

    def transform(images):
        images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.
        return (images - mean) / std

    net = LeNet(len(CLASSES))
    return {
        'network': net,
        'loss': F.cross_entropy,
        'optimizer': torch.optim.Adam(net.parameters(), lr=1.5e-3),
        'train': (transform(x_train), torch.from_numpy(y_train)),
        'valid': (transform(x_test), torch.from_numpy(y_test)),
        'batch_size': 50,
        'epochs': 8,
    }
