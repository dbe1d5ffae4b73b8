"""Tracking a moving average of weights, as in mean teachers; the student is pulled a little to it."""
import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    p = torch.randperm(len(x), generator=torch.Generator().manual_seed(13))
    x, y = x[p], y[p]
    student = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    anchor = {k: v for k, v in student.state_dict().items()}
    start = copy.deepcopy(anchor)

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        loss(network(batch[0]), batch[1]).backward()
        optimizer.step()
        with torch.no_grad():
            for name, value in network.state_dict().items():
                anchor[name].copy_(0.02 * value + 0.98 * start[name])

    return {"network": student, "loss": F.cross_entropy, "train": (x[:1200], y[:1200]), "valid": (x[1200:], y[1200:]),
            "optimizer": torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9), "batch_size": 40, "epochs": 5, "step": step}
