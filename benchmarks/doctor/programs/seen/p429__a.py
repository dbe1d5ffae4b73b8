"""Which words matter for spam? A network whose first layer is made sparse by soft thresholding (ISTA)."""
import numpy as np
import torch
from torch import nn

from data import table


class SparseNet(nn.Module):
    def __init__(self, n_in, n_hidden=16):
        super().__init__()
        self.select = nn.Linear(n_in, n_hidden)
        self.rest = nn.Sequential(nn.Tanh(), nn.Linear(n_hidden, 1))

    def forward(self, x):
        return self.rest(self.select(x)).squeeze(1)

    @torch.no_grad()
    def shrink(self, amount):
        w = self.select.weight
        w.copy_(w.sign() * (w.abs() - amount).clamp(min=0))


class ProximalStep:
    def __init__(self, strength):
        self.strength = strength

    def __call__(self, network, batch, optimizer, loss):
        x, y = batch
        optimizer.zero_grad(set_to_none=True)
        loss(network(x), y).backward()
        optimizer.step()
        network.shrink(self.strength * optimizer.param_groups[0]["lr"])


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("Spambase").sample(frac=1.0, random_state=31)
    label = frame.columns[-1]
    x = np.sqrt(frame.drop(columns=label).to_numpy(np.float32))
    n = 3400
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    x, y = torch.tensor(x).clamp(-5, 5), torch.tensor((frame[label] == "spam").to_numpy(np.float32))
    net = SparseNet(x.shape[1])
    return {
        "network": net,
        "loss": nn.BCEWithLogitsLoss(),
        "step": ProximalStep(strength=0.003),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.1),
        "batch_size": 32,
        "epochs": 25,
    }
