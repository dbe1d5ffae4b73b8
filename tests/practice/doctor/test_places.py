"""The line of the script at fault: told where one statement can be meant, and left out where several can."""

import sys
import textwrap

import pytest

from gradus.core.scripts import function_of
from gradus.practice.doctor.findings import Diagnosis, Finding
from gradus.practice.doctor.places import with_lines

HEAD = """
import torch
from torch import nn
from torch.nn import functional as F

RATE = 0.5  # RATE
config = {
    "decay": 0.3,  # DECAY
}


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)  # INNER

    def forward(self, x):
        return x + F.dropout(self.inner(x), 0.9)  # DROPS


class Net(nn.Module):
    def __init__(self, code=1):  # CODE
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8),  # BODY0
            nn.ReLU(),
            Block(8),
        )
        self.narrow = nn.Linear(8, code)
        self.loose = [nn.Linear(1, 3)]  # LOOSE
        self.rnn = nn.GRU(3, 3)  # RECURRENT
        self.seen = None

    def forward(self, x):
        self.seen = x  # STATE
        h = self.narrow(self.body(x))  # NARROW
        h = h.detach()  # CUT
        return torch.softmax(self.loose[0](h), dim=0)  # OUTPUT


class Bent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return -g  # CUSTOM


def measure(output, target):
    risk = torch.log(output).mean()  # RISK
    return -risk  # LOSS


def read():
    x = torch.rand(20, 4) * 255  # INPUTS
    y = torch.arange(20) % 3
    return x, y


def step(network, batch, optimizer, loss):
    network.eval()  # EVAL
    value = loss(network(batch[0]), batch[1])
    total = torch.tensor(value.item(), requires_grad=True)  # STEPCUT
    total.backward()  # BACK
    optimizer.zero_grad()  # CLEAR
    nn.utils.clip_grad_norm_(network.parameters(), 1e-6)  # CLIP
    optimizer.step()
    return value.item()


def evaluate(network, valid):
    network.train()  # TRAIN
    guess = network(valid[0]).argmax(0)  # SCORE
    return float((guess == valid[1]).float().mean())


def build(seed=0):
    net = Net()
    for p in net.body.parameters():
        p.requires_grad = False  # FROZEN
    nn.init.constant_(net.narrow.weight, 7.0)  # DRAWN
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, weight_decay=config["decay"])  # OPTIMIZER
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=1.5)  # SCHEDULE
    x, y = read()
    return {
        "network": net,
        "loss": measure,
        "train": (x[:10], y[:10]),
        "valid": (x[10:], y[10:]),
        "batch_size": 2,  # BATCH
        "optimizer": optimizer,
        "step": step,
        "evaluate": evaluate,
    }
"""


@pytest.fixture
def told(tmp_path):
    """Return a function from a script's text and a finding to the line that is told of it."""
    loaded = []

    def tell(text, cause, place, evidence="", name="build"):
        path = (tmp_path / "patient.py").resolve()
        path.write_text(textwrap.dedent(text))
        build = function_of(path, name)
        loaded.append(path.stem)
        found = with_lines(Diagnosis([Finding(cause, place, evidence, 0.9)]), path, build, build())
        return found.findings[0].line

    yield tell
    for stem in loaded:
        sys.modules.pop(stem, None)


def line_of(text, mark):
    return textwrap.dedent(text).split("\n").index(next(r for r in textwrap.dedent(text).split("\n") if mark in r)) + 1


@pytest.mark.parametrize(
    ("cause", "place", "mark"),
    [
        ("learning_rate_too_high", "training", "# RATE"),
        ("excessive_regularization", "training", "# DECAY"),
        ("optimizer_settings", "optimizer", "# OPTIMIZER"),
        ("not_in_optimizer", "optimizer", "# OPTIMIZER"),
        ("schedule", "optimizer", "# SCHEDULE"),
        ("dead_units", "body.0", "# BODY0"),
        ("vanishing_gradients", "body.2.inner", "# INNER"),
        ("vanishing_gradients", "body.2.inner.weight", "# INNER"),
        ("bottleneck", "narrow", "# CODE"),
        ("unregistered_layers", "loose", "# LOOSE"),
        ("missing_nonlinearity", "narrow", "# NARROW"),
        ("train_in_evaluation", "network", "# DROPS"),
        ("train_in_evaluation", "evaluate", "# TRAIN"),
        ("eval_in_training", "step", "# EVAL"),
        ("no_gradient", "body.0", "# CUT"),
        ("no_gradient", "step", "# STEPCUT"),
        ("wrong_step_order", "step", "# CLEAR"),
        ("missing_zero_grad", "step", "# CLEAR"),
        ("accumulation_unscaled", "step", "# BACK"),
        ("gradient_clip", "training", "# CLIP"),
        ("loss_activation_mismatch", "output", "# OUTPUT"),
        ("mixed_examples", "network", "# OUTPUT"),
        ("shared_state", "network", "# STATE"),
        ("wrong_loss", "loss", "# LOSS"),
        ("non_finite", "narrow", "# RISK"),
        ("wrong_gradient", "Bent", "# CUSTOM"),
        ("unnormalized_inputs", "training", "# INPUTS"),
        ("constant_inputs", "train inputs", "# INPUTS"),
        ("tiny_batch_norm", "body", "# BATCH"),
        ("frozen_parameters", "training", "# FROZEN"),
        ("initialization_scale", "initial weights", "# DRAWN"),
        ("wrong_evaluation", "evaluate", "# SCORE"),
    ],
)
def test_a_finding_names_the_statement_at_fault(told, cause, place, mark):
    assert told(HEAD, cause, place) == f"patient.py:{line_of(HEAD, mark)}"


def test_the_line_of_a_program_that_fails_is_its_own(told):
    assert told(HEAD, "program_fails", "line 7 of patient.py") == "patient.py:7"
    assert told(HEAD, "program_fails", "line 7 of other.py") == ""


@pytest.mark.parametrize("cause", ["overfitting", "underfitting", "unbalanced_players"])
def test_what_is_of_the_whole_training_has_no_line(told, cause):
    assert told(HEAD, cause, "training") == ""


@pytest.mark.parametrize(
    ("more", "cause", "place"),
    [
        ("\nother = torch.optim.SGD([torch.ones(1)], lr=1.0)\n", "not_in_optimizer", "optimizer"),
        ("\nnn.init.normal_(torch.ones(3))\n", "initialization_scale", "initial weights"),
        ("\ntorch.ones(1).requires_grad_(False)\n", "frozen_parameters", "training"),
    ],
)
def test_where_two_statements_could_be_meant_none_is_named(told, more, cause, place):
    assert told(HEAD, cause, place) != ""
    assert told(HEAD + more, cause, place) == ""


SEQUENTIAL = """
import torch
from torch import nn

def rows(n):
    return torch.rand(n, 4), torch.rand(n, 1)

def build(seed=0):
    layers = [nn.Linear(4, 8), nn.ReLU()]  # FIRST
    layers.append(nn.Linear(8, 1))  # THIRD
    layers.append(nn.Sigmoid())  # LAST
    net = nn.Sequential(*layers)
    parts = dict(network=net, train=rows(20), optimizer=torch.optim.Adam(net.parameters(), lr=1e-9))  # RATE
    parts["loss"] = nn.MSELoss(  # LOSS
        reduction="sum",  # SUM
    )
    return parts
"""


@pytest.mark.parametrize(
    ("cause", "place", "mark"),
    [
        ("dead_units", "0", "# FIRST"),
        ("vanishing_gradients", "2", "# THIRD"),
        ("output_range", "output", "# LAST"),
        ("learning_rate_too_low", "training", "# RATE"),
        ("wrong_loss", "loss", "# LOSS"),
        ("sum_reduction", "loss", "# SUM"),
    ],
)
def test_lists_of_layers_and_dicts_that_grow_are_followed(told, cause, place, mark):
    assert told(SEQUENTIAL, cause, place) == f"patient.py:{line_of(SEQUENTIAL, mark)}"


def test_layers_made_in_a_loop_are_not_guessed_one_by_one(told):
    text = SEQUENTIAL.replace("    layers.append(nn.Linear(8, 1))", "    for _ in '1': layers.append(nn.Linear(8, 1))")
    assert told(text, "vanishing_gradients", "2") == f"patient.py:{line_of(text, 'nn.Sequential(*layers)')}"


def test_without_the_source_there_is_no_line_and_no_harm(tmp_path):
    path = tmp_path / "gone.py"
    path.write_text(SEQUENTIAL)
    build = function_of(path, "build")
    path.unlink()
    before = Diagnosis([Finding("dead_units", "0", "", 0.9)])
    assert with_lines(before, path, build, build()).findings == [Finding("dead_units", "0", "", 0.9)]
    sys.modules.pop("gone", None)


def test_a_build_from_elsewhere_is_not_found_in_the_script(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("x = 1\n")
    net = __import__("torch").nn.Linear(1, 1)
    given = {"network": net, "optimizer": __import__("torch").optim.SGD(net.parameters(), lr=1.0)}
    found = with_lines(Diagnosis([Finding("learning_rate_too_high", "training", "", 0.9)]), path, lambda: given, given)
    assert found.findings[0].line == ""
