"""Logistic regression on tumours, by plain SGD."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_breast_cancer


class LogisticRegression(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(d))
        self.b = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x @ self.w + self.b


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_breast_cancer(return_X_y=True)
    x, y = torch.tensor(x).float(), torch.tensor(y).float()
    i = torch.randperm(len(x), generator=torch.Generator().manual_seed(7))
    tr, va = i[:400], i[400:]
    x = (x - x[tr].mean(0)) / x[tr].std(0)
    net = LogisticRegression(x.shape[1])
    return dict(network=net, loss=F.binary_cross_entropy_with_logits, train=(x[tr], y[tr]), valid=(x[va], y[va]),
                optimizer=torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=1e-3), batch_size=32, epochs=10)
