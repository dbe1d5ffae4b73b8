"""Clothes with a convolutional network and SGD with momentum."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 12, 5)
        self.fc1 = nn.Linear(12 * 25, 60)
        self.fc2 = nn.Linear(60, 10)

    def forward(self, x):
        x = F.max_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
        return self.fc2(torch.tanh(self.fc1(x.flatten(1))))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = fashion(2000, 800)
    x, xt = (torch.tensor(a).float().unsqueeze(1).div(255).sub(0.29).div(0.35) for a in (x, xt))
    net = LeNet()
    opt = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.999)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x, torch.tensor(y)), valid=(xt, torch.tensor(yt)),
                optimizer=opt, batch_size=50, epochs=10)
