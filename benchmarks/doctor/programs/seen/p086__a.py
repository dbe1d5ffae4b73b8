"""Digits, convolutional; training step adapted from a mixed-precision recipe."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


class SmallCNN(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.c1 = nn.Conv2d(1, width, 3, padding=1)
        self.c2 = nn.Conv2d(width, width * 2, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width * 2)
        self.head = nn.Linear(width * 2, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.c1(x))), 2)
        x = F.relu(self.bn2(self.c2(x)))
        return self.head(x.mean((2, 3)))


def step(network, batch, optimizer, loss):
    images, labels = batch
    optimizer.zero_grad(set_to_none=True)
    # use_amp = torch.cuda.is_available()
    logits = network(images)
    value = loss(logits, labels)
    value.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    # scaler.step(optimizer)
    # scaler.update()
    return value.detach()


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    y = torch.tensor(digits.target)
    p = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[p], y[p]
    net = SmallCNN()
    return dict(network=net, loss=F.cross_entropy, train=(x[:1300], y[:1300]), valid=(x[1300:], y[1300:]),
                optimizer=torch.optim.Adam(net.parameters(), 3e-3), batch_size=64, epochs=8, step=step)
