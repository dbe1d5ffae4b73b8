"""MNIST with a step schedule inside the training step."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.lr_scheduler import StepLR
from data import mnist


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 5, stride=2)
        self.fc = nn.Linear(1440, 10)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = mnist(2000, 1000)
    x, xt = (torch.tensor(a).float().unsqueeze(1) / 255 for a in (x, xt))
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    batches_per_epoch = (len(x) + 39) // 40
    done = [0]

    def step(network, batch, optimizer, loss):
        data, target = batch
        optimizer.zero_grad()
        loss(network(data), target).backward()
        optimizer.step()
        done[0] += 1
        if done[0] % batches_per_epoch == 0:
            scheduler.step()

    return {"network": net, "loss": F.cross_entropy, "train": (x, torch.tensor(y)), "valid": (xt, torch.tensor(yt)),
            "optimizer": optimizer, "batch_size": 40, "epochs": 4, "step": step}
