"""MNIST pictures, normalized when they are fetched."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from data import mnist


class Pictures(Dataset):
    def __init__(self, x, y):
        self.x = torch.tensor(x).float().div(255).unsqueeze(1)
        self.y = torch.tensor(y)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        image = self.x[i]
        image = image - 0.13
        image = image / 0.31
        return image, self.y[i]


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(1500, 600)
    gen = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.Tanh(), nn.Conv2d(8, 16, 5, stride=2), nn.Tanh(), nn.Flatten(),
                        nn.Linear(256, 10))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=DataLoader(Pictures(x, y), batch_size=30, shuffle=True, generator=gen),
                valid=DataLoader(Pictures(xv, yv), batch_size=200), batch_size=30, epochs=6,
                optimizer=torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9))
