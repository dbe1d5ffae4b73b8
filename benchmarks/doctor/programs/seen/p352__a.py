"""Donor, acceptor or neither: convolutions over one-hot DNA."""
import torch
from torch import nn
import torch.nn.functional as F
from data import splice

PAD = 0


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv1d(4, 24, 7, padding=3)
        self.c2 = nn.Conv1d(24, 24, 5, stride=3)
        self.l = nn.Linear(24 * 19, 3)

    def forward(self, x):
        h = F.one_hot(x, 4).float().permute(0, 2, 1)
        h = F.relu(self.c1(h))
        h = F.relu(self.c2(h))
        return self.l(F.dropout(h.flatten(1), 0.3, self.training))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = map(torch.from_numpy, splice(2400))
    net = Net()
    crit = nn.CrossEntropyLoss(ignore_index=PAD)
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    return dict(network=net, loss=crit, train=(x[:1800], y[:1800]), valid=(x[1800:], y[1800:]), optimizer=opt, batch_size=32, epochs=6)
