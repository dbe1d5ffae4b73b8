"""Functions whose minima are known: the standard ones for unconstrained minimizers, and a loss on real data."""

import math

import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F


def vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def beale(x):
    return sum((c - x[0] + x[0] * x[1] ** k) ** 2 for k, c in enumerate((1.5, 2.25, 2.625), 1))


def wood(x):
    valleys = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2 + 90 * (x[3] - x[2] ** 2) ** 2 + (1 - x[2]) ** 2
    return valleys + 10.1 * ((x[1] - 1) ** 2 + (x[3] - 1) ** 2) + 19.8 * (x[1] - 1) * (x[3] - 1)


def powell(x):
    return (x[0] + 10 * x[1]) ** 2 + 5 * (x[2] - x[3]) ** 2 + (x[1] - 2 * x[2]) ** 4 + 10 * (x[0] - x[3]) ** 4


def helical(x):
    turned = torch.atan2(x[1], x[0]) / (2 * math.pi)
    return 100 * ((x[2] - 10 * turned) ** 2 + (torch.sqrt(x[0] ** 2 + x[1] ** 2) - 1) ** 2) + x[2] ** 2


def uneven(x):
    """A quadratic of condition number 1000."""
    return 0.5 * (torch.logspace(0, 3, len(x), dtype=x.dtype) * x * x).sum() - x.sum()


# name: function, start, least value
STANDARD = {
    "rosenbrock": (rosenbrock, vector(-1.2, 1.0), 0.0),
    "chained rosenbrock": (rosenbrock, vector(*[-1.2, 1.0] * 10), 0.0),
    "beale": (beale, vector(1.0, 1.0), 0.0),
    "wood": (wood, vector(-3.0, -1.0, -3.0, -1.0), 0.0),
    "powell": (powell, vector(3.0, -1.0, 0.0, 1.0), 0.0),
    "helical valley": (helical, vector(-1.0, 1e-10, 0.0), 0.0),
    "uneven": (uneven, vector(*[0.0] * 50), -0.5 * float(torch.logspace(0, -3, 50, dtype=torch.float64).sum())),
}


def digits():
    X, y = load_digits(return_X_y=True)
    return torch.from_numpy(X / 16), torch.from_numpy(y)


def softmax_regression(X, y, decay):
    """The objective of scikit-learn's LogisticRegression with C = 1 / (n decay); weights and biases in one vector."""
    classes, features = int(y.max()) + 1, X.shape[1]

    def objective(w):
        W = w.view(classes, features + 1)
        return F.cross_entropy(X @ W[:, :features].T + W[:, features], y) + decay * W[:, :features].square().sum() / 2

    return objective
