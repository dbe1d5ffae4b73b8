"""Letter recognition (16 integer features, 26 classes): MLP, SGD, rate lowered on plateaus."""
import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from data import table


class Fitter:
    """Keeps the epoch's mean loss and shows it to the scheduler when the epoch is over."""

    def __init__(self, net, batches_per_epoch):
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        self.scheduler = ReduceLROnPlateau(self.optimizer, mode="min", factor=0.2, patience=1)
        self.batches_per_epoch = batches_per_epoch
        self.losses = []

    def step(self, net, batch, optimizer, criterion):
        x, y = batch
        loss = criterion(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self.losses.append(loss.item())
        if len(self.losses) == self.batches_per_epoch:
            self.scheduler.step(np.mean(self.losses))
            self.losses.clear()


def letters(n_train=4000, n_valid=2000):
    frame = table("LetterRecognition").head(n_train + n_valid)
    y = frame["lettr"].map(lambda c: ord(c) - ord("A")).to_numpy()
    x = frame.drop(columns="lettr").to_numpy(dtype=np.float32)
    x = torch.from_numpy((x - 7.5) / 3)
    y = torch.from_numpy(y).long()
    return (x[:n_train], y[:n_train]), (x[n_train:], y[n_train:])


def build(seed=0):
    torch.manual_seed(seed)
    train, valid = letters()
    net = nn.Sequential(nn.Linear(16, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 26))
    fitter = Fitter(net, batches_per_epoch=len(train[0]) // 50)
    return {
        "network": net, "loss": nn.CrossEntropyLoss(), "optimizer": fitter.optimizer, "step": fitter.step,
        "train": train, "valid": valid, "batch_size": 50, "epochs": 25,
    }
