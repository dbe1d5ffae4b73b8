"""Vowels, a residual network of dense blocks, deep on purpose."""
import torch
from torch import nn
from data import table


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(d, d // 2), nn.Linear(d // 2, d)

    def forward(self, x):
        return torch.relu(self.lin2(torch.relu(self.lin1(x))))


class Net(nn.Module):
    def __init__(self, width=12, depth=6):
        super().__init__()
        self.inp = nn.Linear(9, width)
        self.blocks = nn.Sequential(*[Block(width)] * depth)
        self.out = nn.Linear(width, 11)

    def forward(self, x):
        h = self.inp(x)
        for block in self.blocks:
            h = h + block(h)
        return self.out(h)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Vowel").sample(frac=1, random_state=20)
    y = torch.tensor(df.pop("Class").astype("category").cat.codes.to_numpy()).long()
    x = torch.tensor(df.iloc[:, 1:].to_numpy(), dtype=torch.float32)
    x = (x - x[:700].mean(0)) / x[:700].std(0)
    net = Net()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:700], y[:700]), "valid": (x[700:], y[700:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 20, "epochs": 25}
