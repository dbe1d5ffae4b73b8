"""Players, gradients handed through on purpose, and answers that meet the targets of other rows."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from gradus.practice.doctor.checks_evaluate import check_evaluate
from gradus.practice.doctor.checks_examples import check_examples
from gradus.practice.doctor.checks_flow import check_flow
from gradus.practice.doctor.checks_gradients import check_whole_gradient
from gradus.practice.doctor.checks_made import check_players
from gradus.practice.doctor.checks_step import check_step, steps_often
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.trial import quiet


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return torch.tensor(X[:400] / 8 - 1, dtype=torch.float32), torch.tensor(y[:400])


def found(check):
    with quiet():
        return [(f.cause, f.place) for f in check if f.confidence >= 0.5]


class Players(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.maker = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64), nn.Tanh())
        self.judge = nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))


def players(digits, *, aim=1.0, sign=1.0, hears=True, holds=lambda network: network.maker):
    """A GAN whose maker's loss has an aim and a sign, and whose judge may not hear of what is made."""
    network = Players()
    optimizers = {
        "maker": torch.optim.Adam(holds(network).parameters(), 1e-3),
        "judge": torch.optim.Adam(network.judge.parameters(), 1e-3),
    }

    def against(scores, value):
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, value))

    def step(network, batch, optimizers, loss):
        real = batch[0]
        made = network.maker(torch.randn(len(real), 8))
        optimizers["judge"].zero_grad()
        true, false = against(network.judge(real), 1.0), against(network.judge(made.detach()), 0.0)
        (true + false if hears else true).backward()
        optimizers["judge"].step()
        optimizers["maker"].zero_grad()
        (sign * against(network.judge(made), aim)).backward()
        optimizers["maker"].step()

    X, y = digits
    given = {"network": network, "train": (X, y), "optimizer": optimizers, "step": step, "batch_size": 40, "epochs": 2}
    return Patient.of(given)


@pytest.mark.parametrize("whole", [True, False])
def test_an_optimizer_of_one_player_that_moves_the_other_too(digits, whole):
    patient = players(digits, holds=lambda network: network if whole else network.maker)
    said = [f for f in check_step(patient) if f.cause == "unbalanced_players"]
    assert [f.place for f in said] == ["optimizer"] * whole


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"aim": 0.0}, "found out"),
        ({"aim": 1.0, "sign": -1.0}, "found out"),
        ({"hears": False}, "of the 3 losses of a step the 2. is"),
    ],
)
def test_players_that_work_against_themselves(digits, settings, words):
    patient = players(digits, **settings)
    findings = list(check_players(patient, patient.train.first()))
    assert [f.cause for f in findings] == ["unbalanced_players"]
    assert words in findings[0].evidence


@pytest.mark.parametrize("settings", [{}, {"aim": 0.0, "sign": -1.0}])
def test_sound_players_of_either_form_are_no_finding(digits, settings):
    patient = players(digits, **settings)
    assert found(check_players(patient, patient.train.first())) == []


def test_turns_of_players_are_told_from_a_plain_step(digits):
    def plain(network, batch, optimizer, loss):
        optimizer.zero_grad()
        network.judge(batch[0]).mean().backward()
        optimizer.step()

    patient = players(digits)
    assert steps_often(patient)
    patient.step, patient.optimizer = plain, patient.optimizers[0]
    assert not steps_often(patient)


class Coded(nn.Module):
    """A code book between two layers; the gradient passes it unchanged, or one branch is cut off."""

    def __init__(self, straight):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.straight = nn.Linear(64, 4), nn.Linear(4, 10), straight
        self.book = nn.Parameter(torch.randn(16, 4))

    def forward(self, x):
        z = self.first(x)
        if not self.straight:
            return self.last(z + 2 * torch.sin(z).detach())
        near = self.book[torch.cdist(z, self.book).argmin(1)]
        return self.last(z + (near - z).detach() + 0.1 * (z - near))


@pytest.mark.parametrize(("straight", "expected"), [(True, []), (False, ["no_gradient"])])
def test_a_gradient_that_is_handed_straight_through_is_no_cut(digits, straight, expected):
    network = Coded(straight)
    optimizer = torch.optim.Adam(network.parameters())
    patient = Patient.of({"network": network, "loss": nn.CrossEntropyLoss(), "train": digits, "optimizer": optimizer})
    findings = found(check_whole_gradient(patient, patient.train.first()))
    assert [cause for cause, _ in findings] == expected


class Letters(nn.Module):
    def __init__(self, first):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.out, self.first = nn.Embedding(17, 8), nn.Linear(8, 17), first

    def forward(self, tokens):
        scores = self.out(self.embed(tokens))
        return scores.transpose(0, 1) if self.first else scores


@pytest.mark.parametrize(("first", "expected"), [(True, ["shuffled_pairs"]), (False, [])])
def test_time_first_answers_flattened_beside_targets_of_rows(first, expected):
    images = torch.tensor(load_digits().data[:120]).long()

    def objective(network, batch):
        return F.cross_entropy(network(batch[0]).flatten(0, 1), batch[1].flatten())

    network = Letters(first)
    optimizer = torch.optim.Adam(network.parameters())
    train = (images[:, 16:40], images[:, 17:41])
    patient = Patient.of({"network": network, "objective": objective, "train": train, "optimizer": optimizer})
    findings = found(check_flow(patient, Task("other"), patient.train.first()))
    assert [cause for cause, _ in findings] == expected


class Table(nn.Module):
    """Scores of each row beside each other one; or scores that are made with the mean of all rows."""

    def __init__(self, mixes):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.mixes = nn.Linear(64, 8), mixes

    def forward(self, x):
        h = self.layer(x)
        h = h - h.mean(0) if self.mixes else h
        return h @ h.T


@pytest.mark.parametrize(("mixes", "expected"), [(True, ["mixed_examples"]), (False, [])])
def test_a_table_of_pairs_mixes_no_examples(digits, mixes, expected):
    network = Table(mixes)
    optimizer = torch.optim.Adam(network.parameters())

    def objective(network, batch):
        return F.cross_entropy(network(batch[0]), torch.arange(len(batch[0])))

    patient = Patient.of({"network": network, "objective": objective, "train": digits, "optimizer": optimizer})
    findings = found(check_examples(patient, Task("other"), patient.train.first()))
    assert [cause for cause, _ in findings] == expected


@pytest.mark.parametrize("on_validation", [True, False])
def test_an_evaluation_that_reads_rows_of_its_own_is_judged_by_what_it_gives(digits, on_validation):
    X, y = digits
    torch.manual_seed(0)
    network = nn.Linear(64, 10)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        F.cross_entropy(network(X[:250]), y[:250]).backward()
        optimizer.step()
    held = (X[250:], y[250:]) if on_validation else (X[:250], y[:250])

    def evaluate(network, valid):
        return float((network(held[0]).argmax(1) == held[1]).float().mean())

    given = {"network": network, "loss": nn.CrossEntropyLoss(), "optimizer": optimizer, "evaluate": evaluate}
    patient = Patient.of(given | {"train": (X[:250], y[:250]), "valid": (X[250:], y[250:])})
    findings = found(check_evaluate(patient, Task("classes", 1, 10)))
    assert [cause for cause, _ in findings] == ([] if on_validation else ["wrong_evaluation"])


@pytest.mark.parametrize(("always", "heard"), [(True, True), (False, False)])
def test_targets_that_cost_nothing_in_evaluation_alone_are_learned(digits, always, heard):
    X, y = digits
    network = nn.Linear(64, 1)
    optimizer = torch.optim.Adam(network.parameters())
    stars = (y % 5 + 1).float()[:, None]

    def objective(network, batch):
        apart = (network(batch[0]) - batch[1]) ** 2
        return (apart if network.training and not always else apart[batch[1] > 1]).mean()

    patient = Patient.of({"network": network, "objective": objective, "train": (X, stars), "optimizer": optimizer})
    causes = [cause for cause, _ in found(check_flow(patient, Task("numbers"), patient.train.first()))]
    assert ("wrong_target_coding" in causes) == heard
