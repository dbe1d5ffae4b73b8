"""Rules of what flows: broadcasts, draws, graphs that are cut, targets that cost nothing."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal, kl_divergence

from doctor_patients import batch_of, digits, measured, patient, until_it_fails
from gradus.practice.doctor.checks_flow import check_flow
from gradus.practice.doctor.judge import Judge
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.trial import quiet


def found(p, task=None):
    """Return causes and places of what the rules of flow find, as the examination asks them."""
    with quiet():
        task = task if task is not None else Judge.of(p).task
        return [(f.cause, f.place) for f in until_it_fails(check_flow(p, task, batch_of(p)))]


# -- (n, 1) against (n,) -------------------------------------------------------------------------------------------


def flat():
    """Return the measurements with targets of one axis."""
    return tuple((x, y[:, 0]) for x, y in measured())


class Scored(nn.Module):
    """One number a row, in a column."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.body(x)


class Centred(nn.Module):
    """Bumps around 30 centres on a line, as many as a batch has rows."""

    def __init__(self):
        super().__init__()
        self.centres, self.last = nn.Parameter(torch.linspace(-2, 2, 30)), nn.Linear(30, 1)

    def forward(self, x):
        return self.last(torch.exp(-((x - self.centres) ** 2)))


def squared(network, batch):
    return ((network(batch[0]) - batch[1]) ** 2).mean()


def by_function(network, batch):
    return F.smooth_l1_loss(network(batch[0]), batch[1])


def turned(network, batch):  # targets in a column, answers without it
    return (batch[1] - network(batch[0]).squeeze(1)).abs().mean()


@pytest.mark.parametrize(("objective", "rows"), [(squared, flat), (by_function, flat), (turned, measured)])
def test_columns_against_rows_in_an_objective(objective, rows):
    assert found(patient(Scored, rows(), objective=objective)) == [("target_broadcast", "output and target")]


def ranked_pairs(network, batch):
    s = network(batch[0])[:, 0]
    return F.softplus(-(s.unsqueeze(1) - s) * torch.sign(batch[1].unsqueeze(1) - batch[1])).mean()


def ranked_columns(network, batch):
    s = network(batch[0])
    return F.softplus(-(s - s[:, 0]) * torch.sign(batch[1][:, None] - batch[1])).mean()


def near_targets(network, batch):  # a kernel between answers and all targets, on purpose
    return -torch.logsumexp(-((network(batch[0])[:, 0].unsqueeze(1) - batch[1]) ** 2), 1).mean()


def columns(network, batch):
    return ((network(batch[0]) - batch[1].unsqueeze(1)) ** 2).mean()


def without_axis(network, batch):
    return ((network(batch[0]).squeeze(1) - batch[1]) ** 2).mean()


@pytest.mark.parametrize("objective", [ranked_pairs, ranked_columns, near_targets, columns, without_axis])
def test_pairs_that_are_meant(objective):
    assert found(patient(Scored, flat(), objective=objective)) == []


@pytest.mark.parametrize("whole", [True, False])
def test_columns_against_rows_in_a_step(whole):
    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        output = network(batch[0])
        ((output if whole else output.squeeze(1)) - batch[1]).pow(2).mean().backward()
        optimizer.step()

    p = patient(Scored, flat(), step=step, objective=without_axis)
    assert found(p) == ([("target_broadcast", "output and target")] if whole else [])


def test_as_many_centres_as_rows():
    (x, y), (x_val, y_val) = flat()
    rows = ((x[:, 2:3], y), (x_val[:, 2:3], y_val))
    assert found(patient(Centred, rows, objective=without_axis)) == []


# -- draws ---------------------------------------------------------------------------------------------------------


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.code, self.decode = nn.Linear(64, 8), nn.Linear(4, 64)

    def between(self, x):
        mean, log = self.code(x).chunk(2, 1)
        return Normal(mean, F.softplus(log) + 0.01)

    def forward(self, x):
        return self.decode(self.between(x).rsample())


def bound(draw, likelihood):
    """Return the objective of a variational autoencoder that draws and measures in one way or another."""

    def objective(network, batch):
        q = network.between(batch[0])
        fit = likelihood(network.decode(draw(q)), batch[0]).sum(1)
        return (kl_divergence(q, Normal(0.0, 1.0)).sum(1) - fit).mean()

    return objective


def ones(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def bits(logits, x):
    return Bernoulli(logits=logits, validate_args=False).log_prob(x)


def normal(mean, x):
    return Normal(mean, 1.0).log_prob(x)


def pictures():
    (x, _), (valid, _) = digits()
    return (x, x), (valid, valid)


@pytest.mark.parametrize("likelihood", [ones, bits, normal])
@pytest.mark.parametrize("kind", [lambda q: q, lambda q: Independent(q, 1)])
def test_draws_through_which_no_gradient_comes(likelihood, kind):
    wrong = patient(Variational, pictures(), objective=bound(lambda q: kind(q).sample(), likelihood))
    right = patient(Variational, pictures(), objective=bound(lambda q: kind(q).rsample(), likelihood))
    assert ("no_gradient", "sample") in found(wrong)
    assert found(right) == []


class Policy(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.body, self.kind = nn.Linear(10, 4 if kind is Categorical else 1), kind

    def forward(self, x):
        return self.body(x)

    def chosen(self, x):
        return Categorical(logits=self(x)) if self.kind is Categorical else Normal(self(x)[:, 0], 0.5)


@pytest.mark.parametrize("kind", [Normal, Categorical])
def test_draws_whose_score_is_taken(kind):
    def rewarded(network, batch):
        chosen = network.chosen(batch[0])
        action = chosen.sample()
        reward = -((action - batch[1]) ** 2)
        return -(chosen.log_prob(action) * (reward - reward.mean())).mean()

    assert found(patient(Policy(kind), flat(), objective=rewarded)) == []


def test_draws_for_looking_only():
    def objective(network, batch):
        with torch.no_grad():
            network.chosen(batch[0]).sample()
        return without_axis(network, batch)

    assert found(patient(Policy(Normal), flat(), objective=objective)) == []


def test_distributions_are_put_back():
    before = Normal.__dict__["sample"], Normal.__dict__["log_prob"]
    found(patient(Variational, pictures(), objective=bound(lambda q: q.sample(), ones)))
    assert (Normal.__dict__["sample"], Normal.__dict__["log_prob"]) == before


# -- targets that cost nothing -------------------------------------------------------------------------------------


def parity():
    return tuple((x, (y % 2).float()) for x, y in digits())


def half_of_it(s, y):  # the other half of the logistic loss is missing
    return -(y * F.logsigmoid(s[:, 0])).mean()


def hinge_of_bits(s, y):  # made for -1 and 1
    return F.relu(1 - y * s[:, 0]).mean()


def hinge(s, y):
    return F.relu(1 - (2 * y - 1) * s[:, 0]).mean()


def cross(s, y):
    return F.binary_cross_entropy_with_logits(s[:, 0], y)


@pytest.mark.parametrize(
    ("loss", "silent"), [(half_of_it, True), (hinge_of_bits, True), (hinge, False), (cross, False)]
)
def test_targets_whose_rows_cost_nothing(loss, silent):
    p = patient(nn.Linear(64, 1), parity(), loss=loss)
    assert found(p) == ([("wrong_target_coding", "targets")] if silent else [])


@pytest.mark.parametrize(
    ("loss", "silent"),
    [
        (lambda o, t: (F.cross_entropy(o, t, reduction="none") * (t > 0)).mean(), True),
        (nn.CrossEntropyLoss(ignore_index=0), True),
        (nn.CrossEntropyLoss(weight=torch.tensor([0.01] + [1.0] * 9)), False),
    ],
)
@pytest.mark.parametrize("size", [60, 15])  # in a small batch a class may hardly occur
def test_a_class_that_the_loss_leaves_out(loss, silent, size):
    p = patient(loss=loss, batch_size=size)
    assert found(p, Task("classes", 1, 10)) == ([("wrong_target_coding", "targets")] if silent else [])


@pytest.mark.parametrize("bias", [-40.0, 40.0])
def test_a_margin_that_all_rows_of_a_class_keep_already(bias):
    network = nn.Linear(64, 1)
    nn.init.constant_(network.bias, bias)
    assert found(patient(network, parity(), loss=hinge)) == []


class Twins(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(64, 4)

    def forward(self, pair):
        return (self.body(pair[:, 0]) - self.body(pair[:, 1])).norm(dim=1)


@pytest.mark.parametrize("size", [1.0, 200.0])
def test_pairs_that_lie_apart_already(size):
    """Pairs of two classes cost nothing once they lie beyond the margin, and would under smaller weights."""
    rows = []
    for x, y in digits():
        rows.append((size * torch.stack([x, x.roll(1, 0)], 1), (y == y.roll(1, 0)).float()))

    def contrast(gap, alike):
        return (alike * gap**2 + (1 - alike) * F.relu(1 - gap) ** 2).mean()

    assert found(patient(Twins, tuple(rows), loss=contrast, batch_size=60)) == []


# -- one target that makes all the loss ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "shares", "large"),
    [
        ((1.0, 1e4), (1.0, 1.0), True),
        ((1e4, 1.0), (1.0, 1.0), True),
        ((1.0, 20.0), (1.0, 1.0), False),
        ((0.05, 20.0), (1.0, 1.0), False),  # neither is large
        ((500.0, 1e4), (1.0, 1.0), False),  # both are
        ((1.0, 1e4), (1.0, 1e-4), False),  # weighed by hand
    ],
)
def test_a_target_on_another_scale(sizes, shares, large):
    rows = tuple((x, torch.cat([sizes[0] * y, sizes[1] * y.flip(0)], 1)) for x, y in measured())
    weights = torch.tensor(shares)
    p = patient(nn.Linear(10, 2), rows, loss=lambda o, t: ((weights * (o - t)) ** 2).mean())
    assert found(p) == ([("target_scale", "targets")] if large else [])


# -- axes that get new names ----------------------------------------------------------------------------------------


class ColoursFirst(nn.Module):
    """Takes pictures with their colours last to layers that take them first."""

    def __init__(self, moved):
        super().__init__()
        self.first, self.last, self.moved = nn.Conv2d(2, 4, 3), nn.Linear(16, 10), moved

    def forward(self, x):
        x = x.reshape(-1, 8, 4, 2)
        x = x.permute(0, 3, 1, 2) if self.moved else x.reshape(-1, 2, 8, 4)
        return self.last(torch.relu(self.first(x)).mean(3).flatten(1)[:, :16])


@pytest.mark.parametrize("moved", [True, False])
def test_axes_that_get_new_names(moved):
    network = ColoursFirst(moved)
    network.last = nn.Linear(network.first(torch.zeros(1, 2, 8, 4)).mean(3).flatten(1)[:, :16].shape[1], 10)
    assert found(patient(network)) == ([] if moved else [("scrambled_inputs", "network")])


# -- graphs that are cut ---------------------------------------------------------------------------------------------


class Layered(nn.Module):
    def __init__(self, between):
        super().__init__()
        self.first, self.last, self.between = nn.Linear(64, 24), nn.Linear(24, 10), between

    def forward(self, x):
        return self.last(self.between(self.first(x)))


def rounded(h):
    return torch.round(8 * torch.sigmoid(h)) / 8


def through(h):
    z = torch.sigmoid(h)
    return z + (torch.round(8 * z) / 8 - z).detach()


def not_through(h):  # the detach is missing: the two gradients of z take each other away
    z = torch.sigmoid(h)
    return z + (torch.round(8 * z) / 8 - z)


def copied(h):
    return torch.tensor(torch.relu(h).tolist())


@pytest.mark.parametrize(
    ("between", "cut"),
    [
        (torch.relu, False),
        (through, False),
        (rounded, True),
        (not_through, True),
        (copied, True),
        (lambda h: torch.relu(h).detach(), True),
    ],
)
def test_graphs_that_are_cut(between, cut):
    assert found(patient(Layered(between))) == ([("no_gradient", "network")] if cut else [])


def test_answers_that_do_not_depend_on_the_rows_are_another_fault():
    assert ("no_gradient", "network") not in found(patient(Layered(lambda h: torch.zeros_like(h) * h)))


class SwitchedOff(nn.Module):
    """A branch that its weights switch off at first, and rightly get no gradient through it; the way round is open."""

    def __init__(self):
        super().__init__()
        self.branch, self.back, self.last = nn.Linear(64, 24), nn.Linear(24, 64), nn.Linear(64, 10)
        nn.init.zeros_(self.back.weight)

    def forward(self, x):
        return self.last(x + self.back(torch.relu(self.branch(x))))


def test_a_branch_that_starts_at_zero_is_not_cut():
    assert found(patient(SwitchedOff)) == []


def test_first_layers_that_are_not_to_learn():
    network = Layered(lambda h: torch.relu(h).detach())
    assert found(patient(network, optimizer=torch.optim.SGD(network.last.parameters(), lr=0.1))) == []
    network = Layered(lambda h: torch.relu(h).detach())
    network.first.requires_grad_(False)
    assert found(patient(network)) == []


class Binned(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(9, 3), nn.Linear(192, 10)

    def forward(self, x):
        return self.last(self.table(torch.bucketize(x, torch.linspace(0.05, 0.95, 8))).flatten(1))


def test_inputs_of_which_only_a_table_is_asked():
    assert found(patient(Binned)) == []


# -- states that are cut ---------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """Goes over eight rows of a picture; what it keeps between two of them is cut at some places."""

    def __init__(self, cut=(), every=False, tokens=False):
        super().__init__()
        self.cell, self.last = nn.GRUCell(8, 16), nn.Linear(16, 10)
        self.table = nn.Embedding(17, 8) if tokens else None
        self.cut, self.every, self.state = cut, every, None

    def forward(self, x):
        x = x if self.table is None else self.table(x)
        h, seen = x.new_zeros(len(x), 16), []
        for k in range(x.shape[1]):
            h = self.cell(x[:, k], h.detach() if k in self.cut else h)
            seen.append(self.last(h))
        return torch.stack(seen, 1).mean(1) if self.every else seen[-1]


def lines(tokens=False):
    made = [(x.reshape(-1, 8, 8), y) for x, y in digits()]
    return tuple(((16 * x[:, :, 3]).long() if tokens else x, y) for x, y in made)


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize(
    ("cut", "every", "lost"),
    [
        (range(1, 8), False, True),
        ((6,), False, True),
        ((), False, False),
        ((4,), False, False),  # half of a series is a length to go back
        (range(1, 8), True, False),  # each place is answered for
    ],
)
def test_states_that_are_cut_on_their_way(cut, every, lost, tokens):
    p = patient(Reader(cut, every, tokens), lines(tokens))
    assert found(p) == ([("no_gradient", "network")] if lost else [])


class LastOnly(nn.Module):
    """Looks at the last two places, and at no others."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(16, 10)

    def forward(self, x):
        return self.last(x[:, -2:].flatten(1))


class Carrying(Reader):
    """Begins where the batch before ended, and goes back to where it began."""

    def forward(self, x):
        h = x.new_zeros(len(x), 16) if self.state is None or len(self.state) != len(x) else self.state
        for k in range(x.shape[1]):
            h = self.cell(x[:, k], h)
        self.state = h.detach()
        return self.last(h)


@pytest.mark.parametrize("kind", [LastOnly, Carrying])
def test_places_that_are_left_out_on_purpose(kind):
    assert found(patient(kind, lines())) == []


# -- targets of networks that pass nothing on ----------------------------------------------------------------------


def test_a_network_that_passes_nothing_on_hears_no_target():
    """Through ten sigmoid layers rounding alone tells rows apart: no class is said to cost nothing."""
    layers = [part for _ in range(12) for part in (nn.Linear(24, 24), nn.Sigmoid())]
    p = patient(nn.Sequential(nn.Linear(64, 24), nn.Sigmoid(), *layers, nn.Linear(24, 10)))
    assert not [cause for cause, _ in found(p) if cause == "wrong_target_coding"]
