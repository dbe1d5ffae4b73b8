"""What only training shows: each fault on a small program, found by its name, beside a sound one that looks like it."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes, load_digits, make_moons
from torch import nn

from gradus.practice.doctor.checks_training import _result
from gradus.practice.doctor.examination import examine_build


def rows():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))[:900]
    X, y = torch.tensor(X[order] / 16, dtype=torch.float32), torch.tensor(y[order])
    return (X[:600], y[:600]), (X[600:], y[600:])


def first_cause(make):
    """Return the verdict's first cause of the program whose parts ``make()`` returns."""

    def build(seed=0):
        torch.manual_seed(seed)
        parts = {"batch_size": 32, "epochs": 6} | make()
        if "objective" not in parts:
            parts.setdefault("loss", nn.CrossEntropyLoss())
        parts.setdefault("optimizer", torch.optim.Adam(parts["network"].parameters(), lr=3e-3))
        return parts

    found = examine_build(build, max_time=30)
    return found.findings[0].cause if found.verdict == "faulty" else None


def network(hidden=24):
    return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def digits(**parts):
    train, valid = rows()
    return {"network": network(), "train": train, "valid": valid} | parts


class ByHand(nn.Module):
    """Weights that belong to no layer."""

    def __init__(self, start):
        super().__init__()
        self.W, self.V = nn.Parameter(start(64, 24)), nn.Parameter(start(24, 10))

    def forward(self, x):
        return torch.tanh(x @ self.W) @ self.V


def alike():
    return digits(network=ByHand(lambda *shape: torch.full(shape, 0.02)))


def apart():
    return digits(network=ByHand(lambda *shape: torch.randn(shape) / shape[0] ** 0.5))


def penalized(strength):
    def objective(net, batch):
        return F.cross_entropy(net(batch[0]), batch[1]) + strength * sum(p.abs().sum() for p in net.parameters())

    return digits(objective=objective)


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.code, self.decode = nn.Linear(64, 8), nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 64))

    def forward(self, x):
        mean, log = self.code(x).chunk(2, 1)
        return self.decode(mean + torch.randn_like(mean) * (log / 2).exp()), mean, log


def variational(weight):
    (x, _), (valid, _) = rows()

    def objective(net, batch):
        out, mean, log = net(batch[0])
        kl = -0.5 * (1 + log - mean**2 - log.exp()).sum(1)
        return (F.binary_cross_entropy_with_logits(out, batch[0], reduction="none").sum(1) + weight * kl).mean()

    return {"network": Variational(), "objective": objective, "train": (x, x), "valid": (valid, valid), "epochs": 12}


def moons(net):
    x, y = make_moons(600, noise=0.15, random_state=0)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    parts = {"network": net, "train": (x[:400], y[:400]), "valid": (x[400:], y[400:]), "epochs": 20}
    return parts | {"optimizer": optimizer}


def few():
    (x, y), valid = rows()
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    return digits(train=(x[:19], y[:19]), valid=valid, network=net, optimizer=optimizer, batch_size=16, epochs=12)


def headless():
    net = network(12)
    return digits(network=net, optimizer=torch.optim.Adam(net[0].parameters(), lr=3e-3))


def bodiless():
    net = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 10))
    net[:4].requires_grad_(False)
    return digits(network=net)


def many_random_features():
    net = network(400)
    net[0].requires_grad_(False)
    return digits(network=net)


def summed(rate):
    net = network()
    return digits(
        network=net, loss=nn.CrossEntropyLoss(reduction="sum"), optimizer=torch.optim.SGD(net.parameters(), lr=rate)
    )


class Growing(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.again, self.last = nn.Linear(64, 24), nn.Linear(24, 24), nn.Linear(24, 10)

    def forward(self, x):
        h = self.first(x)
        for _ in range(30):
            h = torch.relu(3 * self.again(h) + h)
        return self.last(h)


class Loud(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain, self.first, self.last = gain, nn.Linear(64, 24), nn.Linear(24, 10)

    def forward(self, x):
        return self.last(torch.tanh(self.gain * self.first(x)))


class Branch(nn.Module):
    """A residual branch that starts at zero."""

    def __init__(self):
        super().__init__()
        self.first, self.inner, self.back, self.last = (nn.Linear(*s) for s in ((64, 24), (24, 24), (24, 24), (24, 10)))
        nn.init.zeros_(self.back.weight)

    def forward(self, x):
        h = torch.relu(self.first(x))
        return self.last(h + self.back(torch.relu(self.inner(h))))


class Quiet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 24), nn.Linear(24, 10)
        nn.init.constant_(self.first.bias, -30.0)

    def forward(self, x):
        return self.last(F.relu(self.first(x)))


def progress(spread):
    """Return a program for the progress of diabetes in a year, in units of which so many are its spread."""
    X, y = load_diabetes(return_X_y=True)
    X, y = (torch.tensor((v - v.mean(0)) / v.std(0), dtype=torch.float32) for v in (X, y))
    y, linear = spread * y[:, None], nn.Linear(10, 1)
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.05, momentum=0.5)
    return {"network": linear, "loss": cubed, "train": (X[:300], y[:300]), "valid": (X[300:], y[300:]),
            "optimizer": optimizer}  # fmt: skip


def cubed(output, target):
    """A loss whose slope grows with the targets faster than they do."""
    return ((output - target).abs() ** 3).mean()


def numbers_of_rows(wrong):
    """Return a program whose evaluation looks at the rows given, or at those of training."""
    train = rows()[0]

    def evaluate(net, given):
        x, y = train if wrong else given
        with torch.no_grad():
            return float((net.eval()(x).argmax(1) == y).double().mean())

    return digits(evaluate=evaluate)


@pytest.mark.parametrize(
    ("make", "causes"),
    [
        (alike, {"symmetric_initialization"}),
        (lambda: penalized(0.2), {"excessive_regularization"}),
        (lambda: variational(60.0), {"collapse"}),
        (lambda: moons(nn.Linear(2, 2)), {None}),  # trees do better, but not by much
        (few, {"overfitting"}),
        (lambda: digits(batch_size=600, epochs=3), {"too_few_updates"}),
        (headless, {"not_in_optimizer"}),
        (bodiless, {"frozen_parameters"}),
        (lambda: summed(0.5), {"sum_reduction"}),
        (lambda: digits(network=Growing()), {"exploding_gradients"}),
        (lambda: digits(network=Quiet()), {"dead_units"}),
        (lambda: numbers_of_rows(True), {"wrong_evaluation"}),
        (lambda: progress(3000.0), {"target_scale"}),
    ],
)
def test_a_fault_that_training_shows(make, causes):
    assert first_cause(make) in causes


@pytest.mark.parametrize(
    "make",
    [
        apart,
        lambda: penalized(1e-5),
        lambda: variational(1.0),
        many_random_features,
        lambda: summed(0.002) | {"epochs": 30},
        lambda: digits(network=Loud(1.0)),
        lambda: digits(network=Branch()),
        lambda: numbers_of_rows(False),
        lambda: progress(1.0),
    ],
)
def test_what_only_looks_like_it(make):
    assert first_cause(make) is None


@pytest.mark.parametrize(
    ("learned", "cause"), [(0.44, "overfitting"), (0.2, "underfitting"), (math.nan, "underfitting")]
)
def test_what_knows_its_training_rows_and_no_others_is_not_called_underfitting(learned, cause):
    """A recommender's numbers: 0.15 on validation rows, where means of users and items reach 0.23."""
    base = SimpleNamespace(skill=0.15, complete=True)
    course = SimpleNamespace(
        base=base, poor=True, outdone=False, known=0.23, train_skill=learned, reference={"means": 0.25}
    )
    (found,) = _result(course, [])
    assert found.cause == cause and ("training rows" in found.evidence) is (cause == "overfitting")
