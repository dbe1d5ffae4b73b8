"""Same digit or not? Twins with shared weights compare two halves of the input."""
import torch
import torch.nn as nn
from data import mnist


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=2), nn.ReLU(),
                                   nn.Flatten(), nn.Linear(256, 32))
        self.out = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, pair):
        a, b = self.tower(pair[:, :1]), self.tower(pair[:, 1:])
        return self.out((a - b).abs())


def pairs(x, y, n, seed):
    g = torch.Generator().manual_seed(seed)
    first = torch.randint(len(x), (n,), generator=g)
    second = torch.randint(len(x), (n,), generator=g)
    for i in range(0, n, 2):
        same = torch.nonzero(y == y[first[i]]).flatten()
        second[i] = same[torch.randint(len(same), (1,), generator=g)]
    return torch.stack([x[first], x[second]], 1), (y[first] == y[second]).long()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2000, 800)
    x, xv = torch.tensor(x).float() / 255, torch.tensor(xv).float() / 255
    net = Siamese()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=pairs(x, torch.tensor(y), 3000, 0),
                valid=pairs(xv, torch.tensor(yv), 800, 1), batch_size=50, epochs=6,
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3))
