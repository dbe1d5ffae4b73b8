"""Diabetes: coefficient of determination as the score."""
import torch
from torch import nn
from sklearn.datasets import load_diabetes


def r2(network, valid):
    network.eval()
    x, y = valid
    with torch.no_grad():
        p = network(x).flatten()
    target = y.flatten()
    return 1 - float(((p - target) ** 2).mean() / target.var(unbiased=False))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_diabetes(return_X_y=True)
    x = torch.tensor(x * 21, dtype=torch.float32)
    y = torch.tensor((y - 152) / 77, dtype=torch.float32).unsqueeze(1)
    net = nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 1))
    opt = torch.optim.Adam(net.parameters(), lr=0.005, weight_decay=1e-2)
    return {"network": net, "loss": nn.MSELoss(), "train": (x[:320], y[:320]), "valid": (x[320:], y[320:]),
            "optimizer": opt, "batch_size": 32, "epochs": 25, "evaluate": r2}
