"""Small programs for the doctor's tests: rows of scikit-learn's digits and diabetes, and what is made of them."""

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import nn

from gradus.practice.doctor.patient import Patient


def digits(n=600):
    """Return training and validation rows of digits between 0 and 1, with their classes."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = torch.tensor(X[order] / 16, dtype=torch.float32), torch.tensor(y[order])
    return (X[:n], y[:n]), (X[n : n + 300], y[n : n + 300])


def measured():
    """Return standardized measurements of patients with numbers to predict."""
    X, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = (torch.tensor((a - a.mean(0)) / a.std(0), dtype=torch.float32)[order] for a in (X, y[:, None]))
    return (X[:300], y[:300]), (X[300:], y[300:])


def patient(network=None, rows=None, **parts):
    """Return a patient: a class or a network, its rows, and other parts than the usual ones."""
    torch.manual_seed(0)
    network = network() if isinstance(network, type) else network
    network = network if network is not None else nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    train, valid = rows or digits()
    made = {"network": network, "train": train, "valid": valid, "batch_size": 30, "epochs": 4} | parts
    if "objective" not in made:
        made.setdefault("loss", nn.CrossEntropyLoss())
    made.setdefault("optimizer", torch.optim.SGD(network.parameters(), lr=0.1))
    return Patient.of(made)


def batch_of(p):
    """Return the first batch of training, in an order that is always the same."""
    return next(iter(p.train.batches(torch.Generator().manual_seed(0))))


def until_it_fails(findings):
    """Return what a check finds until it cannot go on with this program, as the examination does."""
    found = []
    try:
        for finding in findings:
            found.append(finding)
    except (RuntimeError, TypeError, ValueError, IndexError):
        pass
    return found


def causes(findings):
    """Return the causes of findings in their order."""
    return [f.cause for f in findings]
