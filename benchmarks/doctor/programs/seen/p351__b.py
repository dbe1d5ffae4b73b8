"""CIFAR: cars, birds and deer. Pictures are judged one by one."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from data import cifar


def conv_bn(i, o, stride=2):
    return nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv_bn(3, 16), conv_bn(16, 24), conv_bn(24, 32))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 3))

    def forward(self, x):
        return self.classifier(self.features(x))


def evaluate(network, valid):
    network.eval()
    correct = total = 0
    with torch.no_grad():
        for images, labels in valid:
            predicted = network(images).argmax(dim=1)
            correct += (predicted == labels).sum().item()
            total += labels.size(0)
    return correct / total


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(1500, 450, classes=(1, 2, 4))
    x, xv = (torch.tensor(a).permute(0, 3, 1, 2).float() / 255 for a in (x, xv))
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    train = TensorDataset((x - mean) / std, torch.tensor(y))
    test = TensorDataset((xv - mean) / std, torch.tensor(yv))
    net = SmallNet()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "evaluate": evaluate,
        "train": DataLoader(train, 50, shuffle=True, generator=torch.Generator().manual_seed(seed)),
        "valid": DataLoader(test, 1),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
        "batch_size": 50,
        "epochs": 5,
    }
