"""Small convolutional network on MNIST (subset)."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import mnist


class ConvNet(nn.Module):
    def __init__(self):
        super(ConvNet, self).__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=5)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=5)
        self.fc1 = nn.Linear(256, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = x.view(-1, 256)
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


def build(seed=0):
    torch.manual_seed(seed)
    xtr, ytr, xte, yte = mnist(2000, 1000)
    prep = lambda a: (torch.from_numpy(a).float().unsqueeze(1) / 255 - 0.1307) / 0.3081
    model = ConvNet()
    return {
        "network": model,
        "loss": F.nll_loss,
        "train": (prep(xtr), torch.from_numpy(ytr)),
        "valid": (prep(xte), torch.from_numpy(yte)),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5),
        "batch_size": 32,
        "epochs": 4,
    }
