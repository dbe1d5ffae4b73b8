"""Satellite pixels, SGD with Nesterov momentum, cosine annealing by epochs."""
import math
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from data import table

EPOCHS, BATCH = 10, 50


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Satellite").sample(3000, random_state=5)
    y = torch.tensor(df.pop("classes").astype("category").cat.codes.to_numpy()).long()
    x = torch.tensor(df.to_numpy(), dtype=torch.float32)
    x = (x - x[:2200].mean(0)) / x[:2200].std(0)
    net = nn.Sequential(nn.Linear(36, 48), nn.ReLU(), nn.Linear(48, 6))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = CosineAnnealingLR(optimizer, T_max=EPOCHS)
    per_epoch = math.ceil(2200 / BATCH)
    counter = {"i": 0}

    def step(network, batch, opt, criterion):
        inputs, labels = batch
        opt.zero_grad()
        value = criterion(network(inputs), labels)
        value.backward()
        opt.step()
        counter["i"] += 1
        if counter["i"] % per_epoch == 0:
            scheduler.step()
        return value.item()

    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:2200], y[:2200]), valid=(x[2200:], y[2200:]),
                optimizer=optimizer, batch_size=BATCH, epochs=EPOCHS, step=step)
