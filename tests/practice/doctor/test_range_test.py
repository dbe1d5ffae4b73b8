"""The range test on real small problems: its interval trains well, far outside it does not, and nothing is changed."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import nn

from gradus.core.errors import InputError
from gradus.practice.doctor.findings import Diagnosis, Finding
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.range_test import _interval, range_test, with_range
from gradus.practice.doctor.seeds import OverSeeds, over_seeds
from gradus.practice.doctor.trial import run_trial


def rows(load, scale, regression=False):
    X, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = scale(X)[order], y[order]
    y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)[:, None] if regression else torch.tensor(y)
    X, cut = torch.tensor(X, dtype=torch.float32), int(0.7 * len(X))
    return {"train": (X[:cut], y[:cut]), "valid": (X[cut:], y[cut:])}


def standard(X):
    return (X - X.mean(0)) / X.std(0)


def program(data, make, loss, optimizer, lr=1e-3, epochs=5):
    def build(seed=0):
        torch.manual_seed(seed)
        network = make()
        made = optimizer(network.parameters(), lr=lr)
        return {"network": network, "loss": loss, "batch_size": 32, "epochs": epochs, "optimizer": made} | data

    return build


def momentum(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)


def digits_net():
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def conv_net():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


DIGITS = rows(load_digits, lambda X: X / 16)
CANCER = rows(load_breast_cancer, standard)
DIABETES = rows(load_diabetes, standard, regression=True)
PROBLEMS = {
    "digits, Adam": (DIGITS, digits_net, nn.CrossEntropyLoss(), torch.optim.Adam),
    "digits, SGD": (DIGITS, digits_net, nn.CrossEntropyLoss(), torch.optim.SGD),
    "digits, convolution, momentum": (DIGITS, conv_net, nn.CrossEntropyLoss(), momentum),
    "cancer, Adam": (CANCER, lambda: nn.Linear(30, 2), nn.CrossEntropyLoss(), torch.optim.Adam),
    "diabetes, SGD": (
        DIABETES, lambda: nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1)), nn.MSELoss(), torch.optim.SGD,
    ),
}  # fmt: skip
GOOD = {"digits": 0.85, "cancer": 0.85, "diabetes": 0.3}


@pytest.mark.parametrize("name", PROBLEMS)
def test_rates_inside_train_well_and_far_outside_worse(name):
    found = range_test(program(*PROBLEMS[name]))
    assert found.answered, found.reason
    assert 1.5 < found.high / found.low < 1000
    # what rates do shows in the loss: classes alone may stay right while scores go far too high
    losses = {}
    for rate in (found.low / 30, found.middle, found.high * 30):
        tails = [trained(name, rate, seed).tail() for seed in range(2)]
        losses[rate] = np.inf if np.isnan(tails).any() else np.mean(tails)
    below, inside, above = losses.values()
    assert below > 1.3 * inside
    assert above > 1.3 * inside
    skills = over_seeds(program(*PROBLEMS[name], lr=found.middle), range(2))
    assert skills.mean > GOOD[name.partition(",")[0]]


def trained(name, rate, seed):
    torch.manual_seed(seed)
    return run_trial(Patient.of(program(*PROBLEMS[name], lr=rate)(seed), seed), seconds=20)


def test_where_no_rate_helps_there_is_no_answer():
    def build(seed=0):
        torch.manual_seed(seed)
        parts = program(*PROBLEMS["digits, SGD"])(seed)
        parts["network"][2].weight.data.zero_()
        parts["network"][2].requires_grad_(False)
        parts["network"][0].requires_grad_(False)
        parts["loss"] = lambda output, target: nn.functional.cross_entropy(output.detach(), target) + 0 * output.sum()
        parts["optimizer"] = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        parts["network"][2].bias.requires_grad_(True)
        return parts

    found = range_test(build, seeds=(0, 1))
    assert not found.answered and np.isnan(found.low)
    assert "no rate lowers the loss" in found.reason


def test_a_program_that_fails_and_a_clock_that_runs_out_give_reasons():
    def broken(network, batch, optimizer, loss):
        raise ValueError("no such thing")

    fails = range_test(lambda seed=0: program(*PROBLEMS["digits, SGD"])(seed) | {"step": broken})
    assert fails.reason == "no answer: the program fails (ValueError: no such thing)"
    assert "time is up" in range_test(program(*PROBLEMS["digits, SGD"]), max_time=0.0).reason


def test_a_patient_given_as_it_is_stays_as_it_was():
    parts = program(*PROBLEMS["digits, convolution, momentum"])(0)
    network, optimizer = parts["network"], parts["optimizer"]
    before = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    modes = [m.training for m in network.modules()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = range_test(parts, seeds=(0, 1))
    assert found.answered and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[0][k]) for k, v in network.state_dict().items())
    assert optimizer.state_dict() == before[1]
    assert [m.training for m in network.modules()] == modes
    assert all(p.grad is None for p in network.parameters())


def test_groups_keep_the_ratio_of_their_rates():
    seen = []

    def build(seed=0):
        parts = program(*PROBLEMS["digits, SGD"])(seed)
        first, second = parts["network"][0].parameters(), parts["network"][2].parameters()
        optimizer = torch.optim.SGD([{"params": first, "lr": 0.2}, {"params": second, "lr": 0.02}])

        def step(network, batch, optimizer, loss):
            seen.append([g["lr"] for g in optimizer.param_groups])
            value = loss(network(batch[0]), batch[1])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            return value

        return parts | {"optimizer": optimizer, "step": step}

    found = range_test(build, seeds=(0,), steps=40, low=1e-4, high=1.0)
    assert [a for a, _ in seen] == pytest.approx(found.rates.tolist())
    assert [a / b for a, b in seen] == pytest.approx([10.0] * len(seen))


def test_the_interval_of_a_known_curve():
    """A loss of 2 that falls from rate 1e-3 on and explodes at 1: found within the lag of the mean."""
    rates = np.geomspace(1e-7, 100, 120)
    falls = 2 - 1.5 / (1 + (1e-2 / rates) ** 2) + 3 * (rates > 1) * rates
    noise = 0.01 * np.random.default_rng(0).standard_normal(120)
    low, high = _interval(rates, falls + noise)
    assert 1e-3 < low < 6e-3
    assert 0.1 < high <= 1.0
    assert _interval(rates, 2 + noise) is None
    assert _interval(rates, 2 + 3 * (rates > 1e-3) + noise) is None


@pytest.mark.parametrize("given", [{"steps": 10}, {"low": 0.0}, {"low": 1.0, "high": 0.1}, {"seeds": ()}])
def test_settings_out_of_range(given):
    with pytest.raises(InputError, match="30 or more steps"):
        range_test(program(*PROBLEMS["digits, SGD"]), **given)


def test_the_doctor_adds_the_interval_to_what_it_says_of_rates_only():
    build = program(*PROBLEMS["digits, SGD"], lr=30.0)
    blamed = Diagnosis(
        [Finding("learning_rate_too_high", "training", "seen", 0.8), Finding("dead_units", "1", "x", 0.6)]
    )
    first, second = with_range(blamed, build).findings
    assert first.evidence.startswith("seen; learning rates from 0.") and first.evidence.endswith("its own is 30")
    assert second.evidence == "x"


def test_seeds_give_mean_and_spread_by_hand():
    found = OverSeeds({0: 0.9, 1: 0.94, 2: float("nan")})
    assert found.mean == pytest.approx(0.92)
    assert found.spread == pytest.approx(0.04 / np.sqrt(2))
    assert found.failed == 1 and found.sentence().endswith("1 more failed")
    # two-sided 95 % of Student's t with 2 degrees of freedom is 4.303; two means of two runs each
    assert f"{4.3027 * 0.04 / np.sqrt(2):.3f}" in found.sentence()


def test_seeds_decide_weights_and_order_and_repeat():
    build = program(*PROBLEMS["digits, Adam"], epochs=1)
    one, two = over_seeds(build, (0, 1, 2)), over_seeds(build, (2, 0))
    assert len(set(one.skills.values())) == 3
    assert two.skills[2] == one.skills[2] and two.skills[0] == one.skills[0]
    assert 0.001 < one.spread < 0.2
    with pytest.raises(InputError, match="two or more seeds"):
        over_seeds(build, (1, 1))
