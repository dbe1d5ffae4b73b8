"""A map of the digits: an autoencoder down to two numbers, for plotting."""
import torch
from torch import nn
from sklearn.datasets import load_digits


class Map(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 48), nn.ELU(), nn.Linear(48, 24), nn.ELU(), nn.Linear(24, 2))
        self.decode = nn.Sequential(nn.Linear(2, 24), nn.ELU(), nn.Linear(24, 48), nn.ELU(), nn.Linear(48, 64), nn.Sigmoid())

    def forward(self, x):
        return self.decode(self.encode(x))


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(12))]
    net = Map()
    return {"network": net, "loss": nn.MSELoss(), "train": (x[:1400], x[:1400]), "valid": (x[1400:], x[1400:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 32, "epochs": 25}
