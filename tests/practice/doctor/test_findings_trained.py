"""What training shows beside its losses: own scores, one answer for all rows, statistics that are kept, few rows."""

import math
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from doctor_patients import batch_of, causes, digits, patient
from gradus.practice.doctor import examination
from gradus.practice.doctor.checks_parts import Parts, check_parts, skill_of_parts
from gradus.practice.doctor.checks_training import (
    _against,
    _narrow,
    _one_point,
    _refreshed,
    _schedule,
    _statistics,
    _twins,
)
from gradus.practice.doctor.checks_treatments import _far_off, _reach
from gradus.practice.doctor.course import Course
from gradus.practice.doctor.examination import examine_build
from gradus.practice.doctor.judge import Judge, reference_skill
from gradus.practice.doctor.layers import layer_table
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.treatments import _calm, noise_inside
from gradus.practice.doctor.treatments_steps import odd_loss, plain_loss
from gradus.practice.doctor.trial import Trial, run_trial

UNKNOWN = Judge(Task("other"), [], first_loss=1.0)
CLASSES = Judge(Task("classes", 1, 2), [(torch.zeros(400, 3), torch.arange(400) % 2)])
FALLING = [1.0] * 10 + [0.5] * 10


def course(losses=FALLING, skill=0.5, complete=True, rates=(), judge=CLASSES, **known):
    went = Trial(losses=list(losses), epochs=[{"skill": skill}], complete=complete, rates=list(rates))
    return Course(went, judge, **known)


# -- own scores ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "own", "complete", "found"),
    [
        (FALLING, (0.6, 0.4), True, True),  # a share that falls with the loss
        (FALLING, (0.6, 0.55), True, False),  # by hardly anything
        (FALLING, (0.4, 0.6), True, False),
        ([1.0] * 20, (0.6, 0.4), True, False),  # nothing is lowered
        (FALLING, (0.6, 0.4), False, False),  # it may still rise
        (FALLING[5:15], (0.6, 0.4), True, False),  # ten steps say little
        (FALLING, (20.0, 12.0), True, True),
        (FALLING, (20.0, 15.0), True, False),  # less than 0.3 of it
        (FALLING, (math.nan, 0.4), True, False),
        ([1.0] * 10 + [0.05] * 10, (0.3, 0.31), True, True),  # no loss is left, and the score stays
        ([1.0] * 10 + [0.05] * 10, (0.95, 0.96), True, False),  # it was good before
        ([1.0] * 10 + [0.15] * 10, (0.3, 0.31), True, False),
        ([-0.1] * 10 + [-0.9] * 10, (0.73, 0.75), True, False),  # a likeness has no floor at zero
    ],
)
def test_a_loss_that_falls_against_the_own_score(losses, own, complete, found):
    findings = list(_against(course(losses, complete=complete, own=own, judge=UNKNOWN)))
    assert [(f.cause, f.place) for f in findings] == ([("wrong_loss", "objective")] if found else [])


@pytest.mark.parametrize(("skill", "found"), [(0.5, True), (0.2, False)])
def test_an_own_score_that_falls_where_the_targets_are_learned(skill, found):
    """Of a network that learns its targets little, other rules tell."""
    assert bool(list(_against(course(own=(0.6, 0.4), skill=skill)))) == found
    assert not list(_against(course([1.0] * 10 + [0.05] * 10, own=(0.3, 0.31), skill=0.9)))  # the targets are known


def drawn_together(factor, own=(0.3, 0.3)):
    """Return what is said of digits whose answers training has drawn together by a factor."""
    start, trained = patient(nn.Linear(64, 10)), patient(nn.Linear(64, 10))
    with torch.no_grad():
        trained.network.weight.mul_(factor)
        trained.network.bias.fill_(1.0)
    went = course(own=own, judge=UNKNOWN)
    went.base.patient = trained
    return [(f.cause, f.place) for f in _one_point(went, start, batch_of(start))]


def test_answers_that_training_draws_together_to_one_point():
    assert drawn_together(0.02) == [("collapse", "output")]
    assert drawn_together(1.0) == []
    assert drawn_together(0.02, own=(0.3, 0.6)) == []  # the own score has risen: this is what was wanted
    assert drawn_together(0.02, own=(math.nan, math.nan)) == []


@pytest.mark.parametrize(
    ("rates", "found"),
    [([0.0] * 10 + [0.1] * 10, True), ([0.1] * 10 + [0.0] * 10, True), ([0.0] * 4 + [0.1] * 16, False)],
)
def test_a_learning_rate_of_zero_in_most_steps(rates, found):
    findings = list(_schedule(course(rates=rates)))
    assert [(f.cause, f.place) for f in findings] == ([("schedule", "optimizer")] if found else [])


def ramp(lr_lambda):
    """Return a course of digits whose schedule multiplies the rate of 0.1 by what a function gives."""
    network = patient().network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda)

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        value = loss(network(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        schedule.step()
        return value

    p = patient(network, optimizer=optimizer, step=step)
    judge = Judge.of(p)
    return Course(run_trial(p, seconds=60, judge=judge), judge, reference={"linear": 0.9})


@pytest.mark.parametrize(
    ("factor", "found"),
    [
        (lambda i: 0.1 * min(1.0, (i + 1) / 20), False),  # a tenth is a factor that one may mean
        (lambda i: 1e-3 * min(1.0, (i + 1) / 20), True),  # a rate where a factor is asked
        (lambda i: min(1.0, (i + 1) / 20), False),
    ],
)
def test_a_schedule_that_gives_rates_for_factors(factor, found):
    findings = list(_schedule(ramp(factor)))
    assert [(f.cause, f.place) for f in findings] == ([("schedule", "optimizer")] if found else [])


@pytest.mark.parametrize(("mode", "found"), [("max", True), ("min", False)])
def test_a_schedule_that_waits_for_a_loss_to_grow(mode, found):
    network = patient().network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, factor=0.5, patience=1)
    losses = []

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        losses.append(loss(network(batch[0]), batch[1]))
        losses[-1].backward()
        optimizer.step()
        if len(losses) % 20 == 0:
            schedule.step(float(sum(losses[-20:]) / 20))
        return losses[-1]

    p = patient(network, optimizer=optimizer, step=step, epochs=10)
    plain = torch.optim.lr_scheduler.ReduceLROnPlateau.step
    base = run_trial(p, seconds=60, judge=(judge := Judge.of(p)))
    assert torch.optim.lr_scheduler.ReduceLROnPlateau.step is plain
    assert len(base.plateaus) == 10 and {way for way, _ in base.plateaus} == {mode}
    assert [f.cause for f in _schedule(Course(base, judge))] == ["schedule"] * found


def test_a_score_that_is_shown_to_a_schedule_may_fall_now_and_then():
    went = course(rates=[0.1] * 10 + [0.05] * 10)
    went.base.plateaus = [("max", v) for v in (0.5, 0.8, 0.9, 0.89, 0.9, 0.88)]
    assert not list(_schedule(went))


# -- batch statistics ------------------------------------------------------------------------------------------------


def normalized(momentum, shift=3.0):
    """Return a course of digits, shifted away from zero, through batch normalization of some momentum."""
    (x, y), (valid, y_val) = digits()
    norm = nn.BatchNorm1d(24, momentum=momentum)
    network = nn.Sequential(nn.Linear(64, 24), norm, nn.ReLU(), nn.Linear(24, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    p = patient(network, ((x + shift, y), (valid + shift, y_val)), optimizer=optimizer, epochs=6)
    judge = Judge.of(p)
    base = run_trial(p, seconds=60, judge=judge)
    return Course(base, judge, reference=reference_skill(p, judge.task)), norm


@pytest.mark.parametrize(
    ("momentum", "cause"), [(1e-4, ["optimizer_settings"]), (1e-9, ["optimizer_settings"]), (0.1, [])]
)
def test_statistics_that_training_has_hardly_renewed(momentum, cause):
    went, norm = normalized(momentum, 0.0 if momentum == 0.1 else 3.0)
    mean = norm.running_mean.clone()
    findings = list(_statistics(went, batch_of(went.base.patient)))
    assert causes(findings) == cause
    assert torch.equal(norm.running_mean, mean) and norm.momentum == momentum


def test_statistics_of_all_training_rows():
    """Renewed, they are the means over batches: the skill is that of a network which was given those by hand."""
    went, norm = normalized(1e-4)
    p = went.base.patient
    renewed = _refreshed(went, p, [norm])
    batches = [p.network[0](x).detach() for x, _ in p.train.batches()]
    with torch.no_grad():
        norm.running_mean.copy_(torch.stack([b.mean(0) for b in batches]).mean(0))
        norm.running_var.copy_(torch.stack([b.var(0) for b in batches]).mean(0))
    assert renewed == pytest.approx(went.judge(p)["skill"], abs=0.01)
    assert renewed > went.base.skill + 0.2


# -- few rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (Parts(0.6, 0.3, 0.6), ["label_noise"]),
        (Parts(0.6, 0.3, 0.6, noise=0.05), ["label_noise"]),
        (Parts(0.6, 0.3, 0.6, noise=0.2), []),  # so few rows may be judged so by chance
    ],
)
def test_what_few_rows_leave_open(parts, found):
    assert causes(check_parts(parts, 0.5, loads=False)) == found


@pytest.mark.parametrize(("skill", "found"), [(0.5, ["label_noise"]), (0.59, [])])
def test_noise_in_training_targets_that_does_no_harm(skill, found):
    """Noise of numbers averages out: validation rows are told as well as simple models tell them."""
    assert causes(check_parts(Parts(0.6, 0.3, 0.6), skill, loads=False, averages=True)) == found
    assert causes(check_parts(Parts(0.6, 0.3, 0.6), skill, loads=False)) == ["label_noise"]


def test_words_counted_in_a_large_vocabulary_let_one_expect_half():
    assert course(reference={"words": 0.6}).known == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("train", "loads", "cause"),
    [
        (0.9, False, ["inconsistent_preparation"]),
        (0.9, True, ["destructive_augmentation"]),
        (0.5, False, ["destructive_augmentation"]),
    ],
)
def test_parts_that_are_sound_by_themselves(train, loads, cause):
    assert causes(check_parts(Parts(0.5, train, 0.9), 0.3, loads)) == cause


def test_the_noise_of_parts_is_a_standard_error():
    """Ten even classes in 150 of the training rows and in 300 of validation: the error of a share, above the common."""
    p = patient()
    (_, y), (_, y_val) = digits()
    sizes = []
    for target in (y[450:], y_val):
        common = int(target.bincount().max()) / len(target)
        sizes.append(0.5 / len(target) ** 0.5 / (1 - common))
    assert skill_of_parts(p, Task("classes", 1, 10)).noise == pytest.approx(math.hypot(*sizes))


def test_parts_of_rows_that_are_sorted_by_class():
    """In file order each part would hold other classes, and every model be wrong."""
    rows = tuple(tuple(part[y.argsort(stable=True)] for part in (x, y)) for x, y in digits())
    mixed, sound = (skill_of_parts(patient(rows=r), Task("classes", 1, 10)) for r in (rows, None))
    assert min(mixed.train, mixed.valid) > 0.7
    assert mixed.train == pytest.approx(sound.train, abs=0.1)


def test_what_parts_tell_is_not_treated():
    """Columns in another order in validation: no learning rate mends that."""
    (x, y), (valid, y_val) = digits()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    found = examine_build(lambda seed=0: vars_of(patient(rows=((x, y), (valid[:, order], y_val)), epochs=8)))
    assert "inconsistent_preparation" in causes(found.findings)
    assert found.tables["treatments"] == []


def vars_of(p):
    return {
        "network": p.network, "loss": p.loss, "train": p.train.given, "valid": p.valid.given,
        "optimizer": p.optimizer, "batch_size": p.batch_size, "epochs": p.epochs,
    }  # fmt: skip


# -- layers ----------------------------------------------------------------------------------------------------------


class Heads(nn.Module):
    """One number that the other layer does not take up."""

    def __init__(self):
        super().__init__()
        self.gate, self.last = nn.Linear(64, 1), nn.Linear(64, 10)

    def forward(self, x):
        return self.last(x) * self.gate(x).sigmoid()


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (nn.Sequential(nn.Linear(64, 1), nn.Tanh(), nn.Linear(1, 10)), ["bottleneck"]),
        (Heads(), []),
        (nn.Sequential(nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 10)), []),
    ],
)
def test_one_number_through_which_all_has_to_pass(network, found):
    p = patient(network)
    went = course(skill=0.1, reference={"linear": 0.9})
    assert causes(_narrow(went, layer_table(p, batch_of(p)))) == found


@pytest.mark.parametrize(
    ("skill", "known", "new", "reach"),
    [
        (0.02, {"reference": {"linear": 0.3}}, 0.1, 0.375),  # a quarter more than a simple model
        (0.02, {"reference": {"linear": 0.3}}, 0.5, 0.5),
        (0.02, {"reference": {"linear": 0.14}}, 0.1, 0.2),
        (0.02, {"reference": {"linear": 0.9}}, 0.1, 1.0),
        (0.6, {"reference": {"linear": 0.6}}, 0.7, 1.0),  # nothing is behind
        (0.02, {}, 0.5, 1.0),
    ],
)
def test_the_skill_that_data_have_room_for(skill, known, new, reach):
    assert _reach(course(skill=skill, **known), new) == pytest.approx(reach)


# -- what networks add, and what they give ---------------------------------------------------------------------------


class Noisy(nn.Module):
    """Adds noise to its inside while it trains."""

    def __init__(self, size):
        super().__init__()
        self.first, self.norm, self.last, self.size = nn.Linear(64, 24), nn.BatchNorm1d(24), nn.Linear(24, 10), size

    def forward(self, x):
        h = torch.relu(self.norm(self.first(x)))
        return self.last(h + self.size * torch.randn_like(h) if self.training else h)


@pytest.mark.parametrize(("size", "prior"), [(5.0, 1.0), (0.05, 0.0), (0.0, 0.0)])
def test_noise_that_a_network_adds_in_training(size, prior):
    assert noise_inside(patient(Noisy(size))) == prior


def test_dropout_is_no_noise_of_a_networks_own():
    assert noise_inside(patient(nn.Sequential(nn.Linear(64, 24), nn.Dropout(0.9), nn.Linear(24, 10)))) == 0.0


def test_without_noise_batch_statistics_go_on():
    p = patient(Noisy(5.0))
    calm = _calm(p).network.train()
    assert calm.training and not p.network.training and p.network.norm.training
    before = p.network.norm.running_mean.clone()
    x = batch_of(p)[0]
    first, again = calm(x), calm(x)
    assert torch.equal(first, again) and not torch.equal(p.network.norm.running_mean, before)
    by_batch = nn.functional.batch_norm(p.network.first(x), None, None, p.network.norm.weight, training=True)
    torch.testing.assert_close(first, p.network.last(torch.relu(by_batch)))
    calm.eval()
    assert not p.network.norm.training


def one_hot():
    return tuple((x, F.one_hot(y, 10).float()) for x, y in digits())


@pytest.mark.parametrize(
    ("last", "usual"),
    [
        (nn.Softmax(1), lambda o, t: F.nll_loss(o.log(), t.argmax(1))),
        (nn.Sigmoid(), F.binary_cross_entropy),
    ],
)
def test_the_usual_loss_of_probabilities_beside_a_one_among_zeros(last, usual):
    p = patient(nn.Sequential(nn.Linear(64, 10), last), one_hot(), loss=nn.MSELoss())
    x, y = batch_of(p)
    torch.testing.assert_close(plain_loss(p).measure((x, y)), usual(p.network(x), y))
    assert odd_loss(p) == 0.9


# -- tasks -----------------------------------------------------------------------------------------------------------


def levels(scores, y):
    """Return the loss of levels: each of nine outputs says whether a digit is larger."""
    return F.binary_cross_entropy_with_logits(scores, (y[:, None] > torch.arange(scores.shape[1])).float())


def words(scores, y):
    """Return the loss of code words, a sign an output, of which no two classes have the same."""
    signs = ((y[:, None] + 1) * torch.arange(1, scores.shape[1] + 1)) % 11 > 5
    return F.binary_cross_entropy_with_logits(scores, signs.float())


@pytest.mark.parametrize(
    ("width", "loss", "kind"),
    [
        (9, levels, "other"),
        (15, words, "other"),
        (10, nn.CrossEntropyLoss(), "classes"),
        (12, nn.CrossEntropyLoss(), "classes"),  # two classes that do not occur
    ],
)
def test_outputs_that_are_no_scores_of_classes(width, loss, kind):
    assert Judge.of(patient(nn.Linear(64, width), loss=loss)).task.kind == kind


@pytest.mark.parametrize("blank", [True, False])
def test_one_number_in_the_place_of_targets(blank):
    rows = tuple((x, torch.zeros(len(x), 1) if blank else (y % 2).float()[:, None]) for x, y in digits())

    def objective(network, batch):
        return F.binary_cross_entropy_with_logits(network(batch[0]), batch[1])

    p = patient(nn.Linear(64, 1), rows, objective=objective)
    p.implied = F.binary_cross_entropy_with_logits
    assert Judge.of(p).task.kind == ("other" if blank else "binary")


def test_series_of_other_lengths_are_cut_to_the_shorter():
    (x, y), (valid, y_val) = digits()
    x, valid = x.reshape(-1, 8, 8), valid.reshape(-1, 8, 8)
    longer = patient(rows=((x, y), (F.pad(valid, (0, 0, 0, 3), value=7.0), y_val)))
    same = patient(rows=((x, y), (valid, y_val)))
    task = Task("classes", 1, 10)
    assert reference_skill(longer, task) == reference_skill(same, task)
    assert reference_skill(same, task)["linear"] > 0.8


# -- slow builds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [True, False])
def test_a_slow_build_is_asked_twice_only(slow, monkeypatch):
    monkeypatch.setattr(examination, "SLOW", 0.0 if slow else 1e9)
    asked = []

    def build(seed=0):
        asked.append(time.process_time())
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
        train, valid = digits(300)
        return {
            "network": network, "loss": nn.CrossEntropyLoss(), "train": train, "valid": valid, "epochs": 8,
            "batch_size": 30, "optimizer": torch.optim.Adam(network.parameters(), lr=2e-2),
        }  # fmt: skip

    found = examine_build(build, max_time=20)
    assert found.verdict == "healthy", found.findings
    assert len(asked) == 2 if slow else len(asked) > 5


# -- units that stay equal, rows of validation with other parts, inputs far off ---------------------------------------


def test_units_that_are_still_equal_in_groups():
    start = torch.zeros(6, 4)
    drawn = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert _twins(drawn.repeat_interleave(2, 0), start) == 3
    assert _twins(torch.cat([drawn[:2].repeat_interleave(2, 0), torch.zeros(2, 4)]), start) == 3  # no gradient at all
    assert _twins(torch.cat([drawn, drawn[:2], torch.ones(1, 4)]), start) == 0  # two of them are unlike all others
    assert _twins(torch.cat([drawn[:1].repeat(2, 1), torch.zeros(4, 4)]), start) == 0  # classes that no row has


def test_validation_rows_without_a_part_that_training_has():
    train, valid = digits()

    def objective(net, batch):
        x, y, even = batch
        return F.cross_entropy(net(x), y) + 0 * even.sum()

    def evaluate(net, rows):
        x, y = rows
        with torch.no_grad():
            return float((net.eval()(x).argmax(1) == y).double().mean())

    def build(seed=0):
        torch.manual_seed(seed)
        linear = nn.Linear(64, 10)
        return {"network": linear, "objective": objective, "evaluate": evaluate, "train": (*train, train[1] % 2),
                "valid": valid, "optimizer": torch.optim.Adam(linear.parameters(), lr=1e-2), "batch_size": 32,
                "epochs": 5}  # fmt: skip

    assert examine_build(build, max_time=20).verdict == "healthy"


@pytest.mark.parametrize(("scale", "loss", "far"), [(300.0, 135.0, True), (300.0, 3.0, False), (1.0, 135.0, False)])
def test_inputs_in_the_hundreds_that_start_the_loss_far_above_chance(scale, loss, far):
    rows = tuple((scale * x, y) for x, y in digits())
    assert _far_off(course([loss, *FALLING]), patient(nn.Linear(64, 10), rows)) is far
