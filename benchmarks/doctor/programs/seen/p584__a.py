"""ReZero: sixteen residual layers without any normalization; each begins as the identity."""
import torch
from torch import nn

from data import table


class ReZero(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.lin = nn.Linear(width, width)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.alpha * torch.relu(self.lin(x))


class LetterNet(nn.Module):
    def __init__(self, width=48, depth=16):
        super().__init__()
        self.inp = nn.Linear(16, width)
        self.blocks = nn.Sequential(*[ReZero(width) for _ in range(depth)])
        self.out = nn.Linear(width, 26)

    def forward(self, x):
        return self.out(self.blocks(self.inp(x)))


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition")[:5000]
    y = torch.tensor([ord(c) - ord("A") for c in df.pop("lettr")])
    x = torch.tensor(df.to_numpy(), dtype=torch.float32)
    x = (x - 7.5) / 2.5
    net = LetterNet()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "train": (x[:4000], y[:4000]),
        "valid": (x[4000:], y[4000:]),
        "batch_size": 50,
        "epochs": 10,
    }
