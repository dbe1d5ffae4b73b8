"""Each rule of the doctor on the least program that has its fault, and silent on one that only looks like it."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from torch import nn
from torch.utils.data import DataLoader, Dataset

from doctor_patients import batch_of, causes, digits, measured, patient
from gradus.practice.doctor.checks_data import check_data
from gradus.practice.doctor.checks_examples import check_examples
from gradus.practice.doctor.checks_gradients import check_steps, check_whole_gradient
from gradus.practice.doctor.checks_loading import check_loading, draws
from gradus.practice.doctor.checks_parts import Parts, check_parts, skill_of_parts
from gradus.practice.doctor.checks_prepared import _other_codes, _used
from gradus.practice.doctor.checks_step import check_step, has_players, shrinks
from gradus.practice.doctor.checks_treatments import is_sum
from gradus.practice.doctor.checks_wiring import check_wiring
from gradus.practice.doctor.implied import implied_loss
from gradus.practice.doctor.judge import Judge, linear_code_skill, reference_skill
from gradus.practice.doctor.signals import Rewired, Undropped, dropout_rate, signals, silent, squashed
from gradus.practice.doctor.task import Task, task_of
from gradus.practice.doctor.treatments import as_drawn, penalty

CLASSES = Task("classes", 1, 10)


class Net(nn.Module):
    """Two layers, and what lies between them."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 24), nn.Linear(24, 10)

    def between(self, h):
        return torch.relu(h)

    def forward(self, x):
        return self.last(self.between(self.first(x)))


class Rounded(Net):
    def between(self, h):
        return torch.round(torch.sigmoid(h) * 8) / 8


class StraightThrough(Net):
    def between(self, h):
        z = torch.sigmoid(h)
        return z + (torch.round(z * 8) / 8 - z).detach()


class HalfCut(Net):
    def between(self, h):
        return h * h.detach()


class SwitchedOff(Net):
    """A branch behind a scalar that starts at zero: its gradient is zero, and rightly."""

    def __init__(self):
        super().__init__()
        self.branch, self.alpha = nn.Linear(24, 24), nn.Parameter(torch.zeros(1))

    def between(self, h):
        h = torch.relu(h)
        return torch.relu(h + self.alpha * self.branch(h))


class Silent(Net):
    def between(self, h):
        return (h - 9).clamp(min=0)


class Loud(Net):
    def between(self, h):
        return torch.tanh(100 * h)


# -- the loss inside an objective ---------------------------------------------------------------------------------


def test_the_loss_inside_an_objective_is_that_loss():
    def objective(network, batch):
        return F.cross_entropy(network(batch[0]), batch[1]) + 0.1 * sum(p.abs().sum() for p in network.parameters())

    p = patient(objective=objective)
    batch = batch_of(p)
    inner = implied_loss(p, batch)
    scores, target = torch.randn(7, 10), torch.arange(7)
    assert float(inner(scores, target)) == pytest.approx(float(F.cross_entropy(scores, target)), rel=1e-6)
    p.implied = inner
    assert penalty(p) > 0.95
    p.objective = lambda network, batch: F.cross_entropy(network(batch[0]), batch[1])
    assert penalty(p) < 1e-4


def in_pairs(network, batch):
    a, b = (F.normalize(network(batch[0] + 0.1 * k), dim=1) for k in range(2))
    return F.cross_entropy(a @ b.T, torch.arange(len(a)))


def among_rows(network, batch):
    z = F.normalize(network(batch[0]), dim=1)
    return -((batch[1][:, None] == batch[1]).float() * (z @ z.T).log_softmax(1)).mean()


@pytest.mark.parametrize("objective", [in_pairs, among_rows, lambda n, b: F.cross_entropy(n[2](n[0](b[0])), b[1])])
def test_an_objective_of_another_form_has_none(objective):
    p = patient(objective=objective)
    assert implied_loss(p, batch_of(p)) is None


# -- gradients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "found"), [(HalfCut, ["no_gradient"]), (StraightThrough, []), (SwitchedOff, [])])
def test_a_graph_that_is_cut_in_part(kind, found):
    p = patient(kind)
    assert causes(check_whole_gradient(p, batch_of(p))) == found


@pytest.mark.parametrize(
    ("kind", "found"),
    [(Rounded, ["no_gradient"]), (Silent, ["dead_units"]), (SwitchedOff, []), (StraightThrough, [])],
)
def test_a_gradient_that_is_zero_though_the_loss_would_change(kind, found):
    p = patient(kind)
    assert causes(check_steps(p, [batch_of(p)])) == found


# -- activations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "cause"), [(0.0, ["saturated_units"]), (-1.0, [])])
def test_a_gradient_that_is_zero_behind_units_at_their_ends(low, cause):
    """Weights from 0 to 1 add up to dozens: every unit is at one, and float32 knows no slope there."""
    network = nn.Sequential(nn.Linear(64, 200), nn.Sigmoid(), nn.Linear(200, 200), nn.Sigmoid(), nn.Linear(200, 10))
    for layer in (network[0], network[2]):
        nn.init.uniform_(layer.weight, low, 1.0)
    assert causes(check_steps(patient(network), [batch_of(patient())])) == cause


def test_hidden_units_that_are_all_dropped_are_no_dropped_outputs():
    hidden = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Dropout(0.9), nn.Linear(8, 10))
    nn.init.zeros_(hidden[3].bias)
    last = nn.Sequential(nn.Linear(64, 10), nn.Dropout(0.5))
    said = [
        [f.cause for f in check_wiring(p, Task("classes", 1, 10), batch_of(p)) if f.cause == "misplaced_layer"]
        for p in (patient(hidden), patient(last))
    ]
    assert said == [[], ["misplaced_layer"]]


def test_activations_are_heard_wherever_they_are_called():
    p = patient(Silent)
    (only,) = signals(p, batch_of(p))
    assert (only.kind, only.behind, only.units, only.dead, only.last) == ("relu", "first", 24, 1.0, False)
    assert list(silent([only])) == [only]
    p = patient(Loud)
    (only,) = signals(p, batch_of(p))
    assert only.kind == "tanh" and only.saturated > 0.7 and list(squashed([only]))
    network = nn.Sequential(nn.Linear(64, 10), nn.Sigmoid())
    assert [s.last for s in signals(patient(network), batch_of(p))] == [True]


def test_activations_are_exchanged_but_for_those_kept():
    network, x = Loud(), torch.randn(4, 64)
    flat = Rewired(network, ("tanh",), lambda index, x, plain: 0 * x)
    assert torch.equal(flat(x), network.last.bias.expand(4, 10))
    assert torch.equal(Rewired(network, ("tanh",), lambda index, x, plain: 0 * x, frozenset({0}))(x), network(x))
    assert flat.first is network.first


def test_dropout_of_functions_is_heard_and_left_out():
    class Dropping(Net):
        def between(self, h):
            return F.dropout(torch.relu(h), 0.9, self.training)

    p = patient(Dropping)
    assert dropout_rate(p, batch_of(p)) == 0.9
    p.network.train()
    x = torch.randn(50, 64)
    still = Undropped(p.network)
    assert torch.equal(still(x), still(x))
    assert not torch.equal(p.network(x), p.network(x))


# -- rows ---------------------------------------------------------------------------------------------------------


class Rows(Dataset):
    def __init__(self, change):
        (self.x, self.y), _ = digits()
        self.x, self.change = self.x.clone(), change

    def __len__(self):
        return len(self.y)

    def __getitem__(self, k):
        return self.change(self.x[k]), self.y[k]


def in_place(row):
    row *= 0.5
    return row


@pytest.mark.parametrize(
    ("change", "found", "drawn"),
    [
        (in_place, ["shared_state"], True),
        (lambda row: row + 0.1 * torch.randn(64), [], True),
        (lambda row: row * 0.5, [], False),
    ],
)
def test_fetching_a_row_must_not_change_it(change, found, drawn):
    p = patient(rows=(DataLoader(Rows(change), batch_size=30, shuffle=True), digits()[1]))
    assert causes(check_loading(p)) == found
    assert (draws(p.train) > 0) is drawn


@pytest.mark.parametrize(
    ("parts", "skill", "loads", "cause"),
    [
        (Parts(0.02, 0.9, 0.9), 0.0, False, "inconsistent_preparation"),
        (Parts(0.02, 0.03, 0.9), 0.0, False, "shuffled_pairs"),
        (Parts(0.02, 0.03, 0.9), 0.0, True, "destructive_augmentation"),
        (Parts(0.02, 0.9, 0.03), 0.0, False, "shuffled_pairs"),
        (Parts(0.01, 0.02, 0.0), 0.0, False, "shuffled_pairs"),
        (Parts(0.6, 0.25, 0.5), 0.6, False, "label_noise"),
        (Parts(0.8, 0.7, 0.75), 0.8, False, None),  # one label in ten is wrong
        (Parts(0.3, 0.3, 0.25), 0.3, False, None),
        (Parts(0.02, 0.9, 0.9), 0.9, False, None),  # the network knows how to make the parts alike
        (Parts(math.nan, 0.9, 0.9), 0.0, False, None),
    ],
)
def test_what_simple_models_say_of_the_parts(parts, skill, loads, cause):
    assert causes(check_parts(parts, skill, loads)) == ([] if cause is None else [cause])


def test_wrong_labels_show_within_training_rows_only():
    (x, y), valid = digits()
    wrong = torch.rand(len(y), generator=torch.Generator().manual_seed(1)) < 0.6
    noisy = torch.where(wrong, torch.randint(0, 10, y.shape, generator=torch.Generator().manual_seed(2)), y)
    parts = skill_of_parts(patient(rows=((x, noisy), valid)), CLASSES)
    assert parts.train < 0.5 < parts.across < parts.valid + 0.05
    clean = skill_of_parts(patient(), CLASSES)
    assert min(clean.train, clean.across) > 0.85 and abs(clean.train - clean.across) < 0.1


class Bag(nn.Module):
    """Texts laid end to end, and where each begins."""

    def __init__(self):
        super().__init__()
        self.table, self.last = nn.EmbeddingBag(17, 8), nn.Linear(8, 10)

    def forward(self, texts):
        return self.last(self.table(*texts))


def laid_end_to_end(rows):
    ids = torch.cat([x for x, _ in rows])
    return (ids, torch.arange(len(rows)) * len(rows[0][0])), torch.tensor([int(y) for _, y in rows])


@pytest.mark.parametrize("in_order", [True, False])
def test_texts_laid_end_to_end_in_the_order_of_their_labels(in_order):
    (x, y), _ = digits()
    order = y.argsort() if in_order else torch.arange(len(y))
    rows = [((16 * x[i]).long(), y[i]) for i in order]
    loaders = [DataLoader(r, batch_size=20, collate_fn=laid_end_to_end) for r in (rows, rows[:100])]
    found = check_data(patient(Bag(), loaders), Task("classes", 1, 10))
    assert [f.place for f in found if f.cause == "label_order"] == ["train"] * in_order


def test_validation_classes_that_training_has_none_of():
    (x, y), (x_val, y_val) = digits()
    first, rest = y < 7, y_val >= 5
    p = patient(rows=((x[first], y[first]), (x_val[rest], y_val[rest])))
    assert "label_order" in causes(check_data(p, CLASSES))
    p = patient(rows=((x, y), (x_val, y_val + 10)))
    assert "wrong_target_coding" in causes(check_data(p, CLASSES))
    assert causes(check_data(patient(), CLASSES)) == []


def test_copies_of_measured_rows_leak_even_where_training_repeats_its_own():
    X, y = load_breast_cancer(return_X_y=True)
    X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    y = torch.tensor(y)
    draw = torch.randint(0, len(X), (900,), generator=torch.Generator().manual_seed(0))
    p = patient(nn.Linear(30, 2), rows=((X[draw[:600]], y[draw[:600]]), (X[draw[600:]], y[draw[600:]])))
    assert causes(check_data(p, Task("classes", 1, 2))) == ["leaking_rows"]
    apart = patient(nn.Linear(30, 2), rows=((X[:400], y[:400]), (X[400:], y[400:])))
    assert causes(check_data(apart, Task("classes", 1, 2))) == []


def test_one_column_off_scale_is_not_another_preparation():
    train, (x, y) = digits()
    x = x.clone()
    x[:, 0] = 1e6 * (torch.arange(len(x)) % 50 == 0)  # constant in training
    assert "inconsistent_preparation" not in causes(check_data(patient(rows=(train, (x, y))), CLASSES))
    assert "inconsistent_preparation" in causes(
        check_data(patient(rows=(train, (x * 0 + 16 * digits()[1][0], y))), CLASSES)
    )


def test_a_series_that_rises_is_not_prepared_otherwise():
    rise = torch.linspace(0, 8, 900)[:, None] + torch.randn(900, 6, generator=torch.Generator().manual_seed(0))
    y = torch.arange(900) % 2

    def found(order):
        train, valid = (rise[:600][order], y[:600]), (rise[600:], y[600:])
        findings = check_data(patient(nn.Linear(6, 2), rows=(train, valid)), Task("classes", 1, 2))
        return [f.cause for f in findings if f.confidence >= 0.5]

    assert found(torch.arange(600)) == []
    assert found(torch.randperm(600, generator=torch.Generator().manual_seed(1))) == ["inconsistent_preparation"]


@pytest.mark.parametrize(("kind", "alarm"), [("climbing", False), ("another scale", True), ("steps", True)])
def test_windows_of_a_rising_series_in_any_order_are_not_prepared_otherwise(kind, alarm):
    """Weeks of a slow rise with its seasons, cut into windows of two years; the last two cases are others."""
    weeks = torch.arange(1300.0)
    level = weeks / 400 + 0.1 * torch.sin(weeks * 2 * math.pi / 52)
    windows = level.unfold(0, 104, 1)
    train, valid = windows[:600], windows[700:]
    if kind == "another scale":
        valid = valid + 2.0
    if kind == "steps":  # no series: columns that have nothing to do with each other
        train = train + torch.randn(train.shape, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(600, generator=torch.Generator().manual_seed(1))
    y = torch.arange(900) % 2
    rows = (train[order], y[:600]), (valid, y[: len(valid)])
    findings = check_data(patient(nn.Linear(104, 2), rows=rows), Task("classes", 1, 2))
    sure = [f.confidence for f in findings if f.cause == "inconsistent_preparation"]
    assert sure and (max(sure) >= 0.5) is alarm


def test_missing_values_are_no_fault_of_a_network_that_fills_them_in():
    class Filling(Net):
        def forward(self, x):
            return super().forward(torch.nan_to_num(x))

    (x, y), valid = digits()
    x = x.clone()
    x[::7, 3] = math.nan
    for kind, sure in ((Filling, 0.4), (Net, 0.99)):
        found = [f for f in check_data(patient(kind, rows=((x, y), valid)), CLASSES) if f.cause == "non_finite_data"]
        assert [f.confidence for f in found] == [sure]


# -- wiring -------------------------------------------------------------------------------------------------------


def wiring(p, task):
    return causes(check_wiring(p, task, batch_of(p)))


def test_an_optimizer_with_the_layers_that_were_replaced():
    network = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network[2] = nn.Linear(24, 10)
    assert wiring(patient(network, optimizer=optimizer), CLASSES) == ["not_in_optimizer"]


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (lambda o, t: F.cross_entropy(o.softmax(1), t), ["loss_activation_mismatch"]),
        (nn.CrossEntropyLoss(label_smoothing=0.1), []),
        (lambda o, t: ((o.softmax(1) - F.one_hot(t, 10)) ** 2).sum(1).mean(), []),
        (nn.MultiMarginLoss(), []),
    ],
)
def test_a_softmax_too_many_inside_the_loss(loss, found):
    assert wiring(patient(loss=loss), CLASSES) == found


def test_a_softmax_over_one_unit_and_one_over_labels_that_can_be_true_together():
    (x, y), valid = digits()
    odd = ((x, (y % 2).float()[:, None]), (valid[0], (valid[1] % 2).float()[:, None]))
    network = nn.Sequential(nn.Linear(64, 1), nn.Softmax(1))
    assert wiring(patient(network, odd, loss=nn.BCELoss()), Task("binary")) == ["output_width"]
    several = torch.stack([y % 2 == 0, y > 4, y % 3 == 0], 1).float()
    network = nn.Sequential(nn.Linear(64, 3), nn.Softmax(1))
    p = patient(network, ((x, several), valid), loss=nn.BCELoss())
    assert "loss_activation_mismatch" in wiring(p, Task("binary"))
    network = nn.Sequential(nn.Linear(64, 3), nn.Sigmoid())
    assert wiring(patient(network, ((x, several), valid), loss=nn.BCELoss()), Task("binary")) == []


def all_alike(scores, y):
    return ((scores - y[:, None]) ** 2).mean()


def one_hot_squares(scores, y):
    return ((scores - F.one_hot(y, scores.shape[1])) ** 2).mean()


def the_named_one(scores, y):
    return ((scores.gather(1, y[:, None])[:, 0] - 1) ** 2).mean()


@pytest.mark.parametrize(
    ("loss", "found"), [(all_alike, True), (one_hot_squares, False), (the_named_one, False), (F.cross_entropy, False)]
)
def test_a_class_number_that_every_output_is_to_equal(loss, found):
    p = patient(loss=loss)
    places = [f.place for f in check_wiring(p, Judge.of(p).task, batch_of(p)) if f.cause == "wrong_target_coding"]
    assert places == ["loss"] * found


def sheets(lit):
    """Return digits of which so many of the brightest pixels are kept, on sheets of 40 by 40."""
    rows = []
    for x, y in digits():
        kept = torch.zeros_like(x).scatter_(1, x.argsort(dim=1, descending=True, stable=True)[:, :lit], 1.0)
        sheet = torch.zeros(len(x), 1, 40, 40)
        sheet[:, 0, 16:24, 16:24] = kept.reshape(-1, 8, 8)
        rows.append((sheet, y))
    return rows


@pytest.mark.parametrize(("lit", "sure"), [(1, True), (20, False)])
def test_pictures_of_which_next_to_nothing_is_left(lit, sure):
    p = patient(nn.Sequential(nn.Flatten(), nn.Linear(1600, 10)), sheets(lit))
    found = [f for f in check_data(p, Task("classes", 1, 10)) if f.cause == "constant_inputs"]
    assert [f.confidence > 0.5 for f in found] == [sure]


@pytest.mark.parametrize(("lit", "found"), [(1, True), (20, False)])
def test_flattened_pictures_that_are_wiped_out(lit, found):
    """With one pixel left rows of several classes are equal; with twenty they stay apart."""
    p = patient(nn.Linear(1600, 10), [(x.flatten(1), y) for x, y in sheets(lit)])
    assert ("constant_inputs" in causes(check_data(p, Task("classes", 1, 10)))) == found


def coded(change):
    """Return digits as sequences of levels, those of validation by another table."""
    train, valid = ((16 * x).long() for x, _ in digits())
    return train, change(valid)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v + 20, "of the codes would have to change"),
        (lambda v: torch.zeros_like(v), "hold a single code"),
        (lambda v: v, ""),
        (lambda v: F.pad(v[:, 8:48], (4, 20)), ""),  # longer runs of padding are no other table
        (lambda v: v[:40], ""),
    ],
)
def test_validation_sequences_by_another_table(change, words):
    found = list(_other_codes(*coded(change)))
    assert causes(found) == ["inconsistent_preparation"] * bool(words)
    assert not words or words in found[0].evidence


def test_codes_of_rows_without_their_padding():
    rows = torch.tensor([[0, 0, 3, 4, 3, 0], [5, 1, 2, 2, 2, 2], [7, 7, 7, 7, 7, 7]])
    assert _used(rows, 8).tolist() == [1, 1, 0, 2, 1, 1, 0, 0]  # one at the end is no run


def test_classes_taken_for_numbers():
    (x, y), valid = digits()
    p = patient(nn.Linear(64, 1), ((x, y.float()[:, None]), valid), loss=nn.MSELoss())
    assert wiring(p, Task("numbers")) == ["wrong_loss"]
    (x, y), valid = measured()
    steps = torch.bucketize(y, torch.tensor([-1.0, -0.3, 0.4, 1.1])).float()  # an order that means something
    assert wiring(patient(nn.Linear(10, 1), ((x, steps), valid), loss=nn.MSELoss()), Task("numbers")) == []


def test_a_softmax_over_the_examples_is_named():
    class Attending(Net):
        def between(self, h):
            return h.softmax(0) * h

    p = patient(Attending)
    batch = batch_of(p)
    assert causes(check_examples(p, CLASSES, batch)) == ["mixed_examples", "wrong_axis"]


# -- the step -----------------------------------------------------------------------------------------------------


def stepping(change=None, **parts):
    """Return what is found of a step whose loss is changed."""

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        value = loss(network(batch[0]), batch[1])
        (value if change is None else change(value, network)).backward()
        optimizer.step()
        return value

    return {f.cause: f.confidence for f in check_step(patient(step=step, **parts))}


def test_steps_that_go_another_way_than_the_loss():
    assert stepping() == {}
    assert stepping(lambda value, network: -value) == {"wrong_loss": 0.93}
    found = stepping(lambda value, network: value + sum((p**2).sum() for p in network.parameters()))
    assert found == {"excessive_regularization": 0.45}
    assert stepping(lambda value, network: value + 1e-4 * sum((p**2).sum() for p in network.parameters())) == {}


def test_a_step_that_is_taken_back():
    def found(factor):
        kept = {}

        def step(network, batch, optimizer, loss):
            kept.setdefault("start", [p.detach().clone() for p in network.parameters()])
            optimizer.zero_grad()
            loss(network(batch[0]), batch[1]).backward()
            optimizer.step()
            with torch.no_grad():
                for p, start in zip(network.parameters(), kept["start"], strict=True):
                    p.lerp_(start, factor)

        return causes(check_step(patient(step=step)))

    assert found(0.9) == ["shared_state"]
    assert found(0.001) == []


@pytest.mark.parametrize("shrunk", [True, False])
def test_a_step_that_makes_weights_smaller(shrunk):
    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        loss(network(batch[0]), batch[1]).backward()
        optimizer.step()
        if shrunk:
            with torch.no_grad():
                network.weight.mul_((0.5 / network.weight.norm()).clamp(max=1.0))

    assert shrinks(patient(nn.Linear(64, 10), step=step)) is shrunk


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.digit, self.even = nn.Linear(64, 24), nn.Linear(24, 10), nn.Linear(24, 2)

    def forward(self, x):
        h = torch.relu(self.body(x))
        return self.digit(h), self.even(h)


@pytest.mark.parametrize("cleared", [True, False])
def test_gradients_that_are_cleared_between_two_backward_passes(cleared):
    def objective(network, batch):
        one, other = network(batch[0])
        return F.cross_entropy(one, batch[1]) + F.cross_entropy(other, batch[1] % 2)

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        F.cross_entropy(network(batch[0])[0], batch[1]).backward()
        if cleared:
            optimizer.zero_grad()
        F.cross_entropy(network(batch[0])[1], batch[1] % 2).backward()
        optimizer.step()

    found = [(f.cause, f.place) for f in check_step(patient(TwoHeads(), loss=None, objective=objective, step=step))]
    assert (("wrong_step_order", "digit") in found) is cleared
    assert "unbalanced_players" not in [cause for cause, _ in found]


def test_clipping_before_there_are_gradients():
    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        value = loss(network(batch[0]), batch[1])
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        value.backward()
        optimizer.step()

    assert causes(check_step(patient(step=step))) == ["wrong_step_order"]


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.d = nn.Linear(4, 10), nn.Linear(10, 1)

    def forward(self, x):
        return self.d(x)


def playing(together):
    (x, _), (valid, _) = measured()

    def step(network, batch, optimizer, loss):
        fake = network.g(torch.randn(len(batch[0]), 4))
        judged = F.softplus(-network.d(batch[0])).mean() + F.softplus(network.d(fake.detach())).mean()
        made = F.softplus(-network.d(fake)).mean()
        optimizer.zero_grad()
        if together:
            (judged + made).backward()
        else:
            judged.backward(inputs=list(network.d.parameters()))
            made.backward(inputs=list(network.g.parameters()))
        optimizer.step()

    def objective(network, batch):
        return F.softplus(-network(batch[0])).mean()

    return patient(Pair, ((x, x), (valid, valid)), objective=objective, step=step)


def test_one_step_along_the_losses_of_both_players():
    assert "unbalanced_players" in causes(check_step(playing(together=True)))
    assert causes(check_step(playing(together=False))) == []


def test_pieces_of_a_series_are_no_players():
    def step(network, batch, optimizer, loss):
        for rows in batch[0].split(10), batch[1].split(10):
            assert rows
        for x, y in zip(batch[0].split(10), batch[1].split(10), strict=True):
            optimizer.zero_grad()
            loss(network(x), y).backward()
            optimizer.step()

    assert not has_players(patient(step=step))
    assert has_players(playing(together=False))


# -- measuring ----------------------------------------------------------------------------------------------------


def test_a_sum_is_told_from_a_mean():
    assert is_sum(patient(loss=nn.CrossEntropyLoss(reduction="sum")))
    assert not is_sum(patient())


def test_frozen_weights_as_they_were_drawn():
    p = patient()
    p.network[0].requires_grad_(False)
    assert as_drawn(p)
    with torch.no_grad():
        p.network[0].weight.add_(0.3 * torch.randn(24, 64))
    assert not as_drawn(p)
    p.network[2].requires_grad_(False)
    assert as_drawn(p)  # the layer after a trained one was never trained


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_recurrent_layer_that_is_left_out_is_as_it_was_drawn(kind):
    torch.manual_seed(0)
    network = nn.ModuleDict({"table": nn.Embedding(9, 16), "read": kind(16, 32), "last": nn.Linear(32, 9)})
    trained = [*network["table"].parameters(), *network["last"].parameters()]
    p = patient(network, optimizer=torch.optim.Adam(trained, 1e-3))
    assert as_drawn(p)
    with torch.no_grad():
        p.network["read"].weight_hh_l0.mul_(1.3)
    assert not as_drawn(p)


def test_rates_are_judged_by_how_well_they_go_with_the_counts():
    (x, y), (x_val, y_val) = measured()
    counts = [torch.exp(v).round() for v in (y, y_val)]
    p = patient(nn.Linear(10, 1), ((x, counts[0]), (x_val, counts[1])), loss=nn.PoissonNLLLoss())
    judge = Judge.of(p)
    with torch.no_grad():
        p.network.weight.zero_()
        p.network.weight[0, 2] = 0.5
    outputs = p.network(x_val)[:, 0].detach().numpy()
    expected = np.corrcoef(outputs, counts[1][:, 0].numpy())[0, 1] ** 2
    assert judge(p)["skill"] == pytest.approx(expected, abs=1e-5)


def test_what_is_commonest_after_a_token():
    x = torch.tensor([[1, 2, 1, 2, 3, 3]]).repeat(20, 1)
    y = torch.tensor([[5, 6, 5, 6, 7, 8]]).repeat(20, 1)
    p = patient(nn.Embedding(4, 10), ((x, y), (x, y)))
    found = reference_skill(p, Task("classes", 2, 10, sequence=True))
    # five of six are right after the token, all after two; the commonest target is a third
    assert found["token"] == pytest.approx((5 / 6 - 1 / 3) / (2 / 3))
    assert found["two tokens"] == pytest.approx(1.0)


@pytest.mark.parametrize("width", [1, 6])
def test_components_bring_back_what_scikit_learn_says(width):
    (x, _), (valid, _) = digits()
    model = PCA(width, svd_solver="full").fit(x.numpy().astype(np.float64))
    rest = valid.numpy() - model.inverse_transform(model.transform(valid.numpy().astype(np.float64)))
    expected = 1 - (rest**2).sum() / ((valid.numpy() - valid.numpy().mean(0)) ** 2).sum()
    assert linear_code_skill(patient(rows=((x, x), (valid, valid))), width) == pytest.approx(expected, abs=1e-5)


def test_the_noise_of_a_skill():
    p = patient()
    p.loss = nn.CrossEntropyLoss()
    judge = Judge.of(p)
    target = p.valid.tensors[1]
    share = float(target.bincount().max()) / len(target)
    assert judge.task == task_of(p.network(p.valid.tensors[0]), target)
    assert judge.noise == pytest.approx(0.5 / len(target) ** 0.5 / (1 - share))
