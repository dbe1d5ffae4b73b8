"""Neural n-gram model (Bengio et al., 2003): the next character of a play from the ten before it."""
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from data import shakespeare

CONTEXT = 10


class NGram(nn.Module):
    def __init__(self, n_chars, dim=16, hidden=128):
        super().__init__()
        self.lookup = nn.Embedding(n_chars, dim)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(CONTEXT * dim, hidden), nn.Tanh(), nn.Linear(hidden, n_chars))

    def forward(self, context):
        return self.body(self.lookup(context))


class Trainer:
    """One step, and every 25 steps a look at the mean loss of those steps."""

    def __init__(self, optimizer):
        self.plateau = ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=3)
        self.losses = []

    def step(self, network, batch, optimizer, loss):
        contexts, following = batch
        value = loss(network(contexts), following)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        self.losses.append(value.item())
        if len(self.losses) == 25:
            self.plateau.step(sum(self.losses) / 25)
            self.losses.clear()


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(30000)
    chars = sorted(set(text))
    codes = torch.tensor([chars.index(c) for c in text])
    x = codes.unfold(0, CONTEXT, 1)[:-1].clone()
    y = codes[CONTEXT:]
    cut = 25000
    net = NGram(len(chars))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.5)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "optimizer": optimizer,
        "step": Trainer(optimizer).step,
        "batch_size": 64,
        "epochs": 7,
    }
