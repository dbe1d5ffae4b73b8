"""Rules of what a network is handed: by the step as by the evaluation, and with noise of its own or without."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from torch import nn

from doctor_patients import batch_of, patient
from gradus.practice.doctor.checks_handed import check_handed, prepares


def wine():
    """Return the measurements of wines on the scales they were taken in, with their classes."""
    X, y = load_wine(return_X_y=True)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    X, y = torch.tensor(X, dtype=torch.float32)[order], torch.tensor(y)[order]
    return (X[:120], y[:120]), (X[120:], y[120:])


MEAN, SPREAD = wine()[0][0].mean(0), wine()[0][0].std(0)


def standardized(x):
    return (x - MEAN) / SPREAD


def as_given(x):
    return x


def curved(x):
    return standardized(x).tanh()


def noisy(x):
    return x + SPREAD * torch.randn(x.shape)


def drinking(in_step, in_evaluate):
    """Return a patient whose step and evaluation each prepare the rows in a way."""

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        F.cross_entropy(network(in_step(batch[0])), batch[1]).backward()
        optimizer.step()

    def evaluate(network, valid):
        with torch.no_grad():
            return float((network.eval()(in_evaluate(valid[0])).argmax(1) == valid[1]).float().mean())

    return patient(nn.Linear(13, 3), wine(), step=step, evaluate=evaluate)


@pytest.mark.parametrize(
    ("in_step", "in_evaluate", "apart"),
    [
        (standardized, as_given, True),
        (as_given, standardized, True),
        (lambda x: x / 100, as_given, True),
        (standardized, standardized, False),
        (as_given, as_given, False),
        (standardized, lambda x: (x - x.mean(0)) / x.std(0), False),  # next to the same
        (curved, as_given, True),
        (curved, curved, False),
        (noisy, as_given, False),  # rows are drawn anew
    ],
)
def test_what_the_step_prepares_the_evaluation_prepares_too(in_step, in_evaluate, apart):
    p = drinking(in_step, in_evaluate)
    expected = [("inconsistent_preparation", "evaluate")] if apart else []
    assert [(f.cause, f.place) for f in check_handed(p, batch_of(p))] == expected


def test_a_program_without_a_step_hands_on_what_it_gets():
    p = patient(nn.Linear(13, 3), wine(), evaluate=lambda network, valid: 0.0)
    assert list(check_handed(p, batch_of(p))) == []
    assert not prepares(p, batch_of(p))


@pytest.mark.parametrize(
    ("in_step", "expected"),
    [(standardized, True), (lambda x: x / 100, True), (curved, True), (as_given, False), (noisy, False)],
)
def test_whether_a_step_rescales_its_inputs(in_step, expected):
    p = drinking(in_step, in_step)
    assert prepares(p, batch_of(p)) is expected
