"""Sparse digits: cross-entropy with an L1 penalty on the weights."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

LAMBDA = 5e-2


def objective(network, batch):
    x, y = batch
    penalty = sum(p.abs().sum() for n, p in network.named_parameters() if "weight" in n)
    return F.cross_entropy(network(x), y) + LAMBDA * penalty


@torch.no_grad()
def evaluate(network, valid):
    network.eval()
    return (network(valid[0]).argmax(1) == valid[1]).float().mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    d = load_digits()
    x, xv, y, yv = train_test_split(d.data.astype("float32") / 16, d.target, test_size=0.25, random_state=7)
    net = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))
    return {"network": net, "objective": objective, "evaluate": evaluate,
            "train": (torch.tensor(x), torch.tensor(y)), "valid": (torch.tensor(xv), torch.tensor(yv)),
            "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3), "batch_size": 32, "epochs": 10}
