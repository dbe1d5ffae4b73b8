"""Deep tanh network on clothes."""
import torch
from torch import nn
from data import fashion


class DeepTanh(nn.Module):
    def __init__(self, depth=5, width=64):
        super().__init__()
        sizes = [784] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.out = nn.Linear(width, 10)
        for layer in self.hidden:
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return self.out(x)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2500, 1000)
    flat = lambda a: (torch.tensor(a).float().flatten(1) / 255 - 0.286) / 0.353
    net = DeepTanh()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (flat(x), torch.tensor(y)),
            "valid": (flat(xv), torch.tensor(yv)), "optimizer": torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9),
            "batch_size": 50, "epochs": 5}
