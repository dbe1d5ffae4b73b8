"""Digits, one helper makes every layer."""
import torch
from torch import nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def layer(kind, i, o, activate=True, **kw):
    parts = [kind(i, o, **kw)]
    if activate:
        parts.append(nn.ReLU())
    return nn.Sequential(*parts)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = layer(nn.Conv2d, 1, 8, kernel_size=3, padding=1)
        self.conv2 = layer(nn.Conv2d, 8, 16, kernel_size=3, stride=2)
        self.fc = layer(nn.Linear, 16 * 9, 32)
        self.out = layer(nn.Linear, 32, 10)

    def forward(self, x):
        x = self.conv2(self.conv1(x))
        return self.out(self.fc(x.flatten(1)))


def build(seed=0):
    torch.manual_seed(seed)
    d = load_digits()
    a, b, ya, yb = train_test_split(d.images[:, None].astype("float32") / 16, d.target, test_size=0.3, random_state=5)
    net = Net()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(torch.tensor(a), torch.tensor(ya)),
                valid=(torch.tensor(b), torch.tensor(yb)), batch_size=32, epochs=6,
                optimizer=torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9))
