"""Softmax regression on 8 x 8 digits, as in the lecture notes: raw pixel counts 0..16, log-likelihood summed over the batch.

The step is gamma / batch with gamma = 0.003, written into the rate.
"""
import numpy as np
import torch
from torch import nn

from data_west import digits8

BATCH = 128


def flat(x):
    return torch.from_numpy(x.reshape(len(x), -1).astype(np.float32))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = digits8()
    model = nn.Linear(64, 10)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    nll = nn.CrossEntropyLoss(reduction="sum")
    return {
        "network": model,
        "loss": nll,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.003 / BATCH),
        "train": (flat(x), torch.from_numpy(y)),
        "valid": (flat(xt), torch.from_numpy(yt)),
        "batch_size": BATCH,
        "epochs": 12,
    }
