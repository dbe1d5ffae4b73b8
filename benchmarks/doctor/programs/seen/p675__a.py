"""B or T cells? Leukaemia samples by their expression of 2000 genes; far more columns than rows."""
import torch
from torch import nn
from data_birch import genes


class SparseLogit(nn.Module):
    """Logistic regression whose weights are the product of two vectors: many go to nothing."""

    def __init__(self, n):
        super().__init__()
        self.u = nn.Parameter(torch.full((n,), 0.1))
        self.v = nn.Parameter(torch.randn(n) * 0.01)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x @ (self.u * self.v) + self.bias


def objective(network, batch):
    x, y = batch
    fit = nn.functional.binary_cross_entropy_with_logits(network(x), y)
    return fit + 2e-2 * (network.u.square().sum() + network.v.square().sum())


def build(seed=0):
    torch.manual_seed(seed)
    x, y = genes()
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(11))
    x, y = torch.tensor(x)[order], torch.tensor(y).float()[order]
    mean, std = x[:96].mean(0), x[:96].std(0)
    x = (x - mean) / std
    net = SparseLogit(x.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1.0)
    return {"network": net, "objective": objective, "train": (x[:96], y[:96]), "valid": (x[96:], y[96:]),
            "optimizer": optimizer, "batch_size": 24, "epochs": 150}
