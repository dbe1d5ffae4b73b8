"""How training went, what a careful training reaches, and which change mends what."""

import math
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from doctor_patients import digits, measured, patient
from gradus.practice.doctor.checks_treatments import treated
from gradus.practice.doctor.course import Course
from gradus.practice.doctor.examination import examine_build
from gradus.practice.doctor.judge import Judge, reference_skill
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.trial import Trial, run_trial

# -- what is concluded -----------------------------------------------------------------------------------------------

CLASSES = Judge(Task("classes", 1, 2), [(torch.zeros(400, 3), torch.arange(400) % 2)])  # a skill is sure to 0.05
OTHER = Judge(Task("other"), [])


def course(skill=0.5, losses=(1.0, 0.5), judge=CLASSES, complete=True, **known):
    return Course(Trial(losses=list(losses), epochs=[{"skill": skill}], complete=complete), judge, **known)


@pytest.mark.parametrize(
    ("reference", "known"),
    [
        ({}, math.nan),
        ({"linear": 0.5}, 0.5),
        ({"linear": 0.5, "trees": 0.9}, 0.585),
        ({"linear": 0.6, "trees": 0.9}, 0.6),
        ({"token": 0.5, "two tokens": 0.7}, 0.4),
        ({"components": 0.5}, 0.3),
        ({"linear": math.nan}, math.nan),
    ],
)
def test_what_simple_models_let_one_expect(reference, known):
    assert course(reference=reference).known == pytest.approx(known, nan_ok=True)


def test_the_noise_of_two_even_classes():
    assert CLASSES.noise == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("skill", "more", "poor"),
    [
        (0.57, {"reference": {"linear": 0.9}}, True),  # less than 0.65 of it
        (0.60, {"reference": {"linear": 0.9}}, False),
        (0.07, {"reference": {"linear": 0.15}}, False),  # within what few rows leave open
        (0.04, {"reference": {"linear": 0.15}}, True),
        (0.02, {"reference": {"linear": 0.05}}, True),
        (0.04, {"reference": {"linear": 0.05}}, False),
        (0.02, {}, True),
        (0.04, {}, False),
        (math.nan, {}, False),
        (0.9, {"losses": (1.0, math.nan)}, True),
    ],
)
def test_what_is_poor(skill, more, poor):
    assert course(skill, **more).poor is poor


@pytest.mark.parametrize(
    ("skill", "more", "poor"),
    [
        (101.0, {}, True),
        (0.0, {"losses": [1.0] * 10 + [0.95] * 10}, True),
        (0.0, {"losses": [1.0] * 10 + [0.8] * 10}, False),  # it learns, whatever of it validation rows show
        (0.0, {"losses": [1.0] * 10 + [0.8] * 10, "own": (0.1, 0.2)}, False),
        (0.0, {"losses": [1.0] * 10 + [0.95] * 10, "own": (0.1, 0.2)}, False),
        (0.0, {"losses": [1.0] * 10 + [1.05] * 10, "own": (0.1, 0.2)}, True),
        (0.0, {"losses": [1.0] * 10 + [0.8] * 10, "own": (0.2, 0.1)}, True),
        (0.0, {"losses": [1.0] * 10 + [0.8] * 10, "own": (0.1, 0.2), "answered": (1.0, 0.99, 1.0)}, True),
        (0.3, {}, False),
        (0.3, {"answered": (1.0, 0.99, 1.0)}, True),
    ],
)
def test_what_is_poor_of_a_loss_that_nothing_else_measures(skill, more, poor):
    assert course(skill, judge=OTHER, **more).poor is poor


@pytest.mark.parametrize(
    ("answered", "complete", "pointless"),
    [
        ((1.0, 0.99, 1.0), True, True),
        ((1.0, 1.003, 0.99), True, True),
        ((1.0, 0.99, 1.0), False, False),  # it may still come
        ((1.0, 1.0, 1.0), True, False),  # the objective does not look at answers
        ((0.9, 1.0, 0.9), True, False),  # better than nothing
        ((1.0, 0.99, 1.1), True, False),  # which row is asked matters
        ((4.0, 1.0, 4.0), True, False),  # far worse than nothing: not trained yet
        ((-1.0, -1.0001, -1.0), True, False),
        ((math.nan, math.nan, math.nan), True, False),
    ],
)
def test_answers_that_serve_nothing(answered, complete, pointless):
    assert course(answered=answered, complete=complete).pointless is pointless


@pytest.mark.parametrize(
    ("skill", "more", "behind"),
    [
        (0.70, {"reference": {"linear": 0.9}}, True),
        (0.78, {"reference": {"linear": 0.9}}, False),  # within three times the noise
        (0.50, {"careful": 0.75}, True),
        (0.50, {"careful": 0.66}, False),  # less than 0.35 of what is left
        (0.80, {"careful": 0.96}, True),
        (0.80, {"careful": 0.94}, False),
        (0.80, {"careful": 0.2}, False),
        (0.02, {}, True),  # poor
        (math.nan, {"reference": {"linear": 0.9}}, False),
    ],
)
def test_what_is_behind(skill, more, behind):
    assert course(skill, **more).behind is behind


def test_a_tenth_below_what_is_known_is_not_behind():
    sure = Judge(Task("classes", 1, 2), [(torch.zeros(40000, 1), torch.arange(40000) % 2)])
    known = {"reference": {"linear": 0.95}, "judge": sure}
    assert [course(skill, **known).behind for skill in (0.85, 0.88)] == [True, False]


@pytest.mark.parametrize(
    ("skill", "lowest", "endless"), [(0.5, -201.0, True), (0.5, -199.0, False), (0.0, -41.0, True), (0.0, -39.0, False)]
)
def test_losses_that_fall_without_end(skill, lowest, endless):
    assert course(skill, losses=(1.0,) * 5 + (lowest,)).endless is endless


# -- what is tried ---------------------------------------------------------------------------------------------------


def tried(make):
    """Return what mends a program, the likeliest first, and how training went."""

    def fresh():
        torch.manual_seed(0)
        return make()

    judge = Judge.of(fresh())
    base = run_trial(fresh(), seconds=60, judge=judge)
    went = Course(base, judge, reference=reference_skill(fresh(), judge.task))
    found = sorted(treated(went, fresh, time.perf_counter() + 60), key=lambda f: -f.confidence)
    return [f.cause for f in found], went


def network():
    return nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))


def stepping(between=lambda network: None, after=lambda optimizer: None, rate=0.2):
    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        loss(network(batch[0]), batch[1]).backward()
        between(network)
        optimizer.step()
        after(optimizer)

    made = network()
    return patient(made, step=step, optimizer=torch.optim.SGD(made.parameters(), lr=rate))


def clip(most):
    return lambda network: nn.utils.clip_grad_norm_(network.parameters(), most)


def fall(factor):
    def after(optimizer):
        optimizer.param_groups[0]["lr"] *= factor

    return after


def uneven(low):
    made = network()
    biases = [p for p in made.parameters() if p.ndim == 1]
    weights = [p for p in made.parameters() if p.ndim == 2]
    return patient(
        made, optimizer=torch.optim.SGD([{"params": weights, "lr": low}, {"params": biases}], lr=0.2), epochs=12
    )


class Thin(nn.Module):
    """Few units in the middle, so that those drawn at random do not serve."""

    def __init__(self, cut):
        super().__init__()
        self.first, self.last, self.cut = nn.Linear(64, 5), nn.Linear(5, 10), cut

    def forward(self, x):
        h = torch.tanh(self.first(x))
        return self.last(h.detach() if self.cut else h)


def thin(cut):
    made = Thin(cut)
    return patient(made, optimizer=torch.optim.Adam(made.parameters(), lr=0.02), epochs=12)


def half_named(o, t):
    return F.cross_entropy(o, t % 5)


def adam(**parts):
    made = network()
    return patient(made, optimizer=torch.optim.Adam(made.parameters(), lr=3e-3), **parts)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda: stepping(between=clip(1e-3)), "gradient_clip"),
        (lambda: stepping(after=fall(0.8)), "schedule"),
        (lambda: uneven(1e-5), "learning_rate_too_low"),
        (lambda: thin(cut=True), "no_gradient"),
        (lambda: adam(loss=half_named), "wrong_loss"),
    ],
)
def test_what_mends_a_program_is_what_was_wrong(make, cause):
    found, went = tried(make)
    assert went.behind
    assert found[:1] == [cause]


@pytest.mark.parametrize(
    "make",
    [
        lambda: stepping(between=clip(1.0)),
        lambda: stepping(after=fall(0.99)),
        lambda: uneven(0.1),
        lambda: thin(cut=False),
        lambda: adam(loss=nn.CrossEntropyLoss(label_smoothing=0.1)),
    ],
)
def test_what_learns_is_not_mended(make):
    assert tried(make)[0] == []


@pytest.mark.parametrize("turns", [1, 2])
def test_the_plain_step_proves_nothing_where_two_players_take_turns(turns):
    """An objective is one player's alone: that the plain step lowers it says nothing of a step that trains two."""

    def objective(network, batch):
        return F.cross_entropy(network(batch[0]), batch[1])

    def step(network, batch, optimizer, loss):
        for _ in range(turns):
            optimizer.zero_grad()
            (1e-4 * objective(network, batch)).backward()
            optimizer.step()

    found, went = tried(lambda: patient(loss=None, objective=objective, step=step))
    planned = any(row["treatment"].startswith("with the plain step") for row in went.treated)
    assert planned is (turns == 1)  # else it could end the search by what it seems to gain
    assert bool({"wrong_loss", "wrong_step_order"} & set(found)) is (turns == 1)


def test_a_careful_training_shows_what_the_network_can_do():
    """Without simple models to compare with, only the same network, well trained, tells that a rate is too low."""

    def fresh():
        torch.manual_seed(0)
        made = network()
        return patient(made, optimizer=torch.optim.Adam(made.parameters(), lr=2e-4), epochs=8)

    judge = Judge.of(fresh())
    base = run_trial(fresh(), seconds=60, judge=judge)
    went = Course(base, judge)
    assert base.skill > 0.03 and not went.poor and not went.behind
    found = [f.cause for f in treated(went, fresh, time.perf_counter() + 60)]
    assert went.behind and went.careful > base.skill + 0.2
    assert found[0] == "learning_rate_too_low"


# -- losses that are meant -------------------------------------------------------------------------------------------


def counts():
    return tuple((x, torch.exp(0.8 * y).round()) for x, y in measured())


def upper(o, t):
    return torch.maximum(0.9 * (t - o), 0.1 * (o - t)).mean()


def parity():
    return tuple((x, (2 * (y % 2) - 1).float()[:, None]) for x, y in digits())


@pytest.mark.parametrize(
    ("rows", "loss"),
    [
        (counts, nn.PoissonNLLLoss()),
        (measured, nn.HuberLoss()),
        (measured, upper),
        (parity, nn.SoftMarginLoss()),
        (parity, lambda o, t: F.relu(1 - o * t).mean()),
    ],
)
def test_other_losses_than_the_usual_one_may_be_meant(rows, loss):
    data = rows()

    def build(seed=0):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Linear(data[0][0].shape[1], 12), nn.ReLU(), nn.Linear(12, 1))
        optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
        return {"network": made, "loss": loss, "train": data[0], "valid": data[1], "epochs": 12, "batch_size": 20,
                "optimizer": optimizer}  # fmt: skip

    found = examine_build(build, max_time=30)
    assert found.verdict == "healthy", found.findings
