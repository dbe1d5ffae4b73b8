"""Rules of scores: what an evaluation compares with what, and which network it asks, in which mode."""

import copy
import sys

import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, r2_score, roc_auc_score
from torch import nn

from doctor_patients import causes, digits, measured, patient
from gradus.practice.doctor.checks_evaluate import check_evaluate
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.trial import run_trial

NUMBERS, CLASSES, BINARY = Task("numbers"), Task("classes", 1, 10), Task("binary")


def trained(network, rows, evaluate, **parts):
    p = patient(network, rows, evaluate=evaluate, **parts)
    run_trial(p, seconds=60)
    return p


def found(p, task):
    return [(f.cause, f.place) for f in check_evaluate(p, task) if f.confidence > 0.5]


# -- each answer and every target ------------------------------------------------------------------------------------


def flat():
    return tuple((x, y[:, 0]) for x, y in measured())


def column_loss(o, t):
    return ((o[:, 0] - t) ** 2).mean()


@pytest.mark.parametrize(
    ("score", "wrong"),
    [
        (lambda answer, truth: -((answer - truth) ** 2).mean(), True),
        (lambda answer, truth: -((answer[:, 0] - truth) ** 2).mean(), False),
        (lambda answer, truth: -((answer - truth.unsqueeze(1)) ** 2).mean(), False),
    ],
)
def test_an_evaluation_in_which_each_answer_meets_every_target(score, wrong):
    def evaluate(network, valid):
        with torch.no_grad():
            return float(score(network.eval()(valid[0]), valid[1]))

    p = trained(nn.Linear(10, 1), flat(), evaluate, loss=column_loss)
    findings = list(check_evaluate(p, NUMBERS))
    assert set(causes(findings)) == ({"wrong_evaluation"} if wrong else set())
    assert not wrong or "each answer meets every target" in findings[0].evidence


# -- evaluations that do not see -------------------------------------------------------------------------------------


def odd():
    return tuple((x, (2 * (y % 2) - 1).float()[:, None]) for x, y in digits())


@pytest.mark.parametrize(
    ("named", "wrong"),
    [
        (lambda s: torch.where(s > 1e4, 1.0, -1.0), True),  # no score is as large
        (lambda s: s.argmax(1, keepdim=True).float(), True),  # of one column
        (lambda s: torch.where(s > 0, 1.0, -1.0), False),
        (lambda s: torch.where(s > 0.5, 1.0, -1.0), False),
    ],
)
def test_an_evaluation_that_takes_right_and_wrong_answers_alike(named, wrong):
    """Of targets of -1 and 1 no right answers are known for certain: their scores may be of any size."""

    def evaluate(network, valid):
        with torch.no_grad():
            return float((named(network.eval()(valid[0])) == valid[1]).float().mean())

    p = trained(nn.Linear(64, 1), odd(), evaluate, loss=nn.SoftMarginLoss())
    assert found(p, BINARY) == ([("wrong_evaluation", "evaluate")] if wrong else [])


# -- modes -----------------------------------------------------------------------------------------------------------


def accuracy(mode):
    def evaluate(network, valid):
        network.train(mode)
        with torch.no_grad():
            return float((network(valid[0]).argmax(1) == valid[1]).float().mean())

    return evaluate


@pytest.mark.parametrize("mode", [True, False])
def test_an_evaluation_that_sets_training_mode(mode):
    """What the network would be worth in evaluation mode is asked although the evaluation puts it into the other."""
    network = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Dropout(0.8), nn.Linear(24, 10))
    p = trained(network, digits(), accuracy(mode), optimizer=torch.optim.SGD(network.parameters(), lr=0.5), epochs=6)
    findings = [f for f in check_evaluate(p, CLASSES) if f.cause == "train_in_evaluation"]
    assert causes(findings) == (["train_in_evaluation"] if mode else [])
    assert all(f.confidence > 0.5 for f in findings)
    if mode:
        calm = accuracy(False)(p.network, p.valid.given)
        assert f"in evaluation mode {calm:.4g}" in findings[0].evidence


# -- other networks --------------------------------------------------------------------------------------------------


def averaged():
    """Return a patient whose step keeps a mean of the weights, and whose evaluation asks that."""
    network = nn.Linear(64, 10)
    mean = copy.deepcopy(network)

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        loss(network(batch[0]), batch[1]).backward()
        optimizer.step()
        with torch.no_grad():
            for p, q in zip(mean.parameters(), network.parameters(), strict=True):
                p.lerp_(q, 0.1)

    def evaluate(network, valid):
        return accuracy(False)(mean, valid)

    return trained(network, digits(), evaluate, step=step)


def test_an_evaluation_that_asks_a_network_of_averaged_weights():
    assert found(averaged(), CLASSES) == []


def test_an_evaluation_that_knows_no_network():
    """One that gives the same score whatever is right is found, where it does ask the network."""

    def evaluate(network, valid):
        with torch.no_grad():
            return float((network.eval()(valid[0]).argmax(1) >= 0).float().mean())

    assert ("wrong_evaluation", "evaluate") in found(trained(nn.Linear(64, 10), digits(), evaluate), CLASSES)


# -- scores that are cut ---------------------------------------------------------------------------------------------


def odd_digits():
    return tuple((x, (y % 2).float()) for x, y in digits())


class One(nn.Module):
    """A score a row."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(64, 1)

    def forward(self, x):
        return self.last(x)[:, 0]


@pytest.mark.parametrize(
    ("measure", "wrong"),
    [
        (lambda truth, chance: roc_auc_score(truth, chance > 0.5), True),
        (lambda truth, chance: average_precision_score(truth, (chance > 0.5).astype(float)), True),
        (lambda truth, chance: roc_auc_score(truth, chance), False),
        (lambda truth, chance: f1_score(truth, chance > 0.5), False),
        (lambda truth, chance: 0.5 * (roc_auc_score(truth, chance) + accuracy_score(truth, chance > 0.5)), False),
    ],
)
def test_measures_of_ranks_that_are_handed_answers_cut_in_two(measure, wrong):
    def evaluate(network, valid):
        with torch.no_grad():
            return float(measure(valid[1].numpy(), network.eval()(valid[0]).sigmoid().numpy()))

    p = trained(One(), odd_digits(), evaluate, loss=nn.BCEWithLogitsLoss())
    before = sys.getprofile()
    assert found(p, BINARY) == ([("wrong_evaluation", "evaluate")] if wrong else [])
    assert sys.getprofile() is before


@pytest.mark.parametrize("both", [True, False])
def test_an_evaluation_of_answers_in_another_unit(both):
    """Answers in thousands beside standardized targets: right and wrong ones are alike, but for next to nothing."""

    def evaluate(network, valid):
        with torch.no_grad():
            answer, truth = (3e5 + 8e4 * t for t in (network.eval()(valid[0]), valid[1]))
        return r2_score(truth if both else valid[1], answer)

    p = trained(nn.Linear(10, 1), measured(), evaluate, loss=nn.MSELoss())
    assert found(p, NUMBERS) == ([] if both else [("wrong_evaluation", "evaluate")])
