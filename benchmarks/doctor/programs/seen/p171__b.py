"""Vowels of fifteen speakers by a network whose hidden sizes are a list."""
import torch
from torch import nn
from data import table


def mlp(d, hidden, k):
    sizes = [d, *hidden]
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], k))


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Vowel").sample(frac=1, random_state=60)
    y = torch.tensor(df["Class"].astype("category").cat.codes.to_numpy()).long()
    x = torch.tensor(df.iloc[:, 1:10].to_numpy(), dtype=torch.float32)
    x = (x - x[:700].mean(0)) / x[:700].std(0)
    net = mlp(9, [64], 11)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:700], y[:700]), "valid": (x[700:], y[700:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=0.01), "batch_size": 35, "epochs": 30}
