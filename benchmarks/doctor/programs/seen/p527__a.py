"""Bayesian network by stochastic gradient Langevin dynamics (Welling & Teh, 2011): tumours, benign or not."""
import math

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.nn import functional as F


class SGLD(torch.optim.Optimizer):
    """theta <- theta - rate/2 * grad U + sqrt(rate) * noise, U being minus the log posterior of all rows."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"] / 2)
                    p.add_(torch.randn_like(p), alpha=math.sqrt(group["lr"]))


class Posterior:
    def __init__(self, rows, prior_variance=1.0):
        self.rows = rows
        self.prior_variance = prior_variance

    def __call__(self, network, batch):
        x, y = batch
        likelihood = F.binary_cross_entropy_with_logits(network(x), y) * self.rows
        prior = sum(p.square().sum() for p in network.parameters()) / (2 * self.prior_variance)
        return likelihood + prior


def build(seed=0):
    torch.manual_seed(seed)
    d = load_breast_cancer()
    order = np.random.default_rng(2).permutation(len(d.target))
    x = torch.tensor(d.data[order], dtype=torch.float32)
    y = torch.tensor(d.target[order], dtype=torch.float32).unsqueeze(1)
    n = 400
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    net = nn.Sequential(nn.Linear(30, 10), nn.Tanh(), nn.Linear(10, 1))
    return {"network": net, "objective": Posterior(n), "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": SGLD(net.parameters(), lr=2e-4), "batch_size": 50, "epochs": 120}
