"""Rules of what a loss compares: probabilities and scores, targets that are shown, answers in another order."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from doctor_patients import batch_of, digits, patient, until_it_fails
from gradus.practice.doctor.checks_compared import check_compared, check_heard
from gradus.practice.doctor.trial import quiet


def found(p, check=check_compared):
    """Return causes and places of what a check finds, as the examination asks it."""
    with quiet():
        return [(f.cause, f.place) for f in until_it_fails(check(p, batch_of(p)))]


# -- probabilities and scores ----------------------------------------------------------------------------------------


class Two(nn.Module):
    """Says whether a digit is odd, and how large it is; the first as a probability, or as a raw score."""

    def __init__(self, squashed):
        super().__init__()
        self.odd, self.size, self.squashed = nn.Linear(64, 1), nn.Linear(64, 1), squashed

    def forward(self, x):
        odd = self.odd(x)[:, 0]
        return (torch.sigmoid(odd) if self.squashed else odd), self.size(x)[:, 0]


def both(answers, y):
    return F.binary_cross_entropy_with_logits(answers[0], (y % 2).float()) + F.mse_loss(answers[1], y / 9)


@pytest.mark.parametrize("squashed", [True, False])
def test_probabilities_into_a_logistic_loss_of_a_tuple(squashed):
    p = patient(Two(squashed), loss=both)
    assert found(p, check_heard) == ([("loss_activation_mismatch", "loss")] if squashed else [])


@pytest.mark.parametrize("squashed", [True, False])
def test_probabilities_into_a_cross_entropy_beside_a_loss_that_is_implied(squashed):
    """An objective with a loss inside it may ask another one beside it."""

    def objective(network, batch):
        scores = network(batch[0])
        told = scores.softmax(1) if squashed else scores
        return F.cross_entropy(scores, batch[1]) + 0.5 * F.cross_entropy(told, batch[1])

    p = patient(objective=objective)
    p.implied = F.cross_entropy
    assert found(p, check_heard) == ([("loss_activation_mismatch", "loss")] if squashed else [])


class Coded(nn.Module):
    """Makes digits again by numbers from 0 to 1, or as raw scores, beside the code."""

    def __init__(self, squashed):
        super().__init__()
        self.code, self.make, self.squashed = nn.Linear(64, 8), nn.Linear(8, 64), squashed

    def forward(self, x):
        made = self.make(self.code(x))
        return (torch.sigmoid(made) if self.squashed else made), self.code(x)


@pytest.mark.parametrize("squashed", [True, False])
def test_numbers_of_a_sigmoid_into_a_cross_entropy(squashed):
    p = patient(Coded(squashed), objective=lambda network, batch: F.cross_entropy(network(batch[0])[0], batch[0]))
    assert found(p, check_heard) == ([("loss_activation_mismatch", "loss")] if squashed else [])


class Cosines(nn.Module):
    """Classes by the cosine between a row and each of ten directions, some way stretched."""

    def __init__(self, stretch):
        super().__init__()
        self.body, self.ways = nn.Linear(64, 16), nn.Parameter(torch.randn(10, 16))
        self.stretch = nn.Parameter(torch.tensor(1.0)) if stretch is None else stretch

    def forward(self, x):
        # two cosines differ by 2 at most, and these by 0.9
        return 0.45 * self.stretch * (F.normalize(self.body(x), dim=1) @ F.normalize(self.ways, dim=1).T)


@pytest.mark.parametrize(("stretch", "flat"), [(1.0, True), (20.0, False), (None, False)])
def test_scores_that_no_weights_make_differ(stretch, flat):
    """The stretch may be learned as well, from a start at one."""
    assert found(patient(Cosines(stretch))) == ([("loss_activation_mismatch", "loss")] if flat else [])


class Directed(nn.Module):
    """Classes by what a normalized code has in common with ten directions, which are free or kept at length one."""

    def __init__(self, free):
        super().__init__()
        self.body, self.ways, self.free = nn.Linear(64, 4), nn.Linear(4, 10, bias=False), free
        nn.init.normal_(self.ways.weight, std=0.02)

    def forward(self, x):
        ways = self.ways.weight if self.free else 0.4 * F.normalize(self.ways.weight, dim=1)
        return F.normalize(self.body(x), dim=1) @ ways.T


@pytest.mark.parametrize("free", [True, False])
def test_scores_that_grow_with_the_last_layer(free):
    """A small start of free directions is no bound: they may grow."""
    p = patient(Directed(free))
    assert found(p) == ([] if free else [("loss_activation_mismatch", "loss")])


# -- targets that are shown ------------------------------------------------------------------------------------------


class Translator(nn.Module):
    """Reads a row of eight numbers, and goes on with what has been said so far."""

    def __init__(self):
        super().__init__()
        self.read, self.said, self.last = nn.Embedding(17, 12), nn.Embedding(18, 12), nn.Linear(12, 17)
        self.go = nn.GRU(12, 12, batch_first=True)

    def forward(self, x, said):
        return self.last(self.go(self.said(said), self.read(x).mean(1)[None])[0])


def spoken():
    """Return rows of pixels, each with the row below it."""
    return tuple((grey[:, 16:24], grey[:, 24:32]) for grey in ((16 * x).round().long() for x, _ in digits()))


def told(network, batch):
    return F.cross_entropy(network(*batch).flatten(0, 1), batch[1].flatten())


def forced(network, batch):
    said = F.pad(batch[1], (1, 0), value=17)[:, :-1]
    return F.cross_entropy(network(batch[0], said).flatten(0, 1), batch[1].flatten())


def shorter(network, batch):
    return F.cross_entropy(network(batch[0], batch[1][:, :-1]).flatten(0, 1), batch[1][:, 1:].flatten())


@pytest.mark.parametrize(("objective", "shown"), [(told, True), (forced, False), (shorter, False)])
def test_targets_shown_to_the_network(objective, shown):
    p = patient(Translator, spoken(), objective=objective)
    assert found(p) == ([("causality_leak", "targets")] if shown else [])


@pytest.mark.parametrize("shift", [0, 1])
def test_targets_shown_by_the_rows(shift):
    rows = tuple((x, F.pad(y, (shift, 0), value=17)[:, : y.shape[1]], y) for x, y in spoken())
    p = patient(Translator, rows, loss=lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()))
    assert found(p) == ([] if shift else [("causality_leak", "targets")])


class Conditional(nn.Module):
    """An autoencoder that is told the class as well: what it makes again has passed two numbers."""

    def __init__(self):
        super().__init__()
        self.code, self.decode = nn.Linear(74, 2), nn.Linear(12, 64)

    def forward(self, kind, x):
        return self.decode(torch.cat([self.code(torch.cat([x, kind], 1)), kind], 1))


def test_rows_that_pass_a_narrow_place_can_not_be_copied():
    rows = tuple((F.one_hot(y, 10).float(), x) for x, y in digits())
    p = patient(Conditional, rows, objective=lambda network, batch: F.mse_loss(network(*batch), batch[1]))
    assert found(p) == []


class Paired(Translator):
    """Takes what is read and what is said as one argument."""

    def forward(self, pair):
        return super().forward(*pair)


@pytest.mark.parametrize("shift", [0, 1])
def test_targets_shown_within_a_pair(shift):
    def objective(network, batch):
        said = F.pad(batch[1], (shift, 0), value=17)[:, : batch[1].shape[1]]
        return F.cross_entropy(network((batch[0], said)).flatten(0, 1), batch[1].flatten())

    p = patient(Paired, spoken(), objective=objective)
    assert found(p) == ([] if shift else [("causality_leak", "targets")])


# -- answers of several places ---------------------------------------------------------------------------------------


class Inked(nn.Module):
    """Says of each pixel which of three shades it has; the classes stand second, or last, or after time and row."""

    def __init__(self, order):
        super().__init__()
        self.body, self.order = nn.Conv2d(1, 3, 3, padding=1), order

    def forward(self, x):
        return self.body(x.reshape(-1, 1, 8, 8)).permute(self.order)


def shades(flat=False):
    """Return pictures with the shade of each pixel, in rows of pixels or in one line."""
    made = [(x, (2.99 * x).long()) for x, _ in digits()]
    return tuple((x, y if flat else y.reshape(-1, 8, 8)) for x, y in made)


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("logs", [True, False])
def test_classes_flattened_with_the_places(moved, logs):
    def loss(output, target):
        scores = (output.permute(0, 2, 3, 1) if moved else output).reshape(-1, 3)
        return (
            F.nll_loss(scores.log_softmax(1), target.flatten()) if logs else F.cross_entropy(scores, target.flatten())
        )

    p = patient(Inked((0, 1, 2, 3)), shades(), loss=loss)
    assert found(p) == ([] if moved else [("scrambled_inputs", "loss")])


@pytest.mark.parametrize("moved", [True, False])
def test_classes_that_stand_last_taken_for_the_second_axis(moved):
    def loss(output, target):
        return F.cross_entropy(output.movedim(3, 1) if moved else output.reshape(-1, 3, 8, 8), target)

    p = patient(Inked((0, 2, 3, 1)), shades(), loss=loss)
    assert found(p) == ([] if moved else [("scrambled_inputs", "loss")])


class Timed(nn.Module):
    def __init__(self):
        super().__init__()
        self.go, self.last = nn.GRU(1, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.go(x.T[:, :, None])[0])


@pytest.mark.parametrize("turned", [True, False])
def test_answers_with_time_first_beside_targets_with_rows_first(turned):
    def loss(output, target):
        return F.cross_entropy(output.flatten(0, 1), (target.T if turned else target).flatten())

    p = patient(Timed, shades(flat=True), loss=loss)
    assert found(p) == ([] if turned else [("scrambled_inputs", "loss")])
