"""Boston with clipped gradients and plain SGD."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table

MAX_NORM = 1e-3


def step(network, batch, optimizer, loss):
    inputs, targets = batch
    optimizer.zero_grad()
    loss(network(inputs), targets).backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm=MAX_NORM)
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("BostonHousing2").sample(frac=1, random_state=70)
    x = df[["crim", "zn", "indus", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "lstat"]]
    x = torch.tensor(((x - x[:400].mean()) / x[:400].std()).to_numpy(), dtype=torch.float32)
    y = torch.tensor(df["cmedv"].to_numpy(), dtype=torch.float32)
    y = (y - y[:400].mean()) / y[:400].std()
    net = nn.Sequential(nn.Linear(11, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    return {"network": net, "loss": F.mse_loss, "train": (x[:400], y[:400]), "valid": (x[400:], y[400:]), "step": step,
            "optimizer": torch.optim.SGD(net.parameters(), lr=0.05), "batch_size": 20, "epochs": 30}
