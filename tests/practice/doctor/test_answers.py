"""Rules of answers: what they depend on, and what a loss makes of them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from doctor_patients import batch_of, digits, measured, patient, until_it_fails
from gradus.practice.doctor.checks_answers import check_answers
from gradus.practice.doctor.checks_examples import check_examples
from gradus.practice.doctor.checks_flow import Shapes
from gradus.practice.doctor.checks_wiring import check_wiring
from gradus.practice.doctor.examination import _surer
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.trial import quiet

CLASSES = Task("classes", 1, 10)


def examples(p):
    return [(f.cause, f.place) for f in check_examples(p, CLASSES, batch_of(p))]


# -- answers that are the same for all -------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_answers_that_no_weights_make_differ(scale):
    """A layer that is handed zeros says the same of each row; one that is handed the rows does not."""

    class Lost(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(64, 12), nn.Linear(12, 10)

        def forward(self, x):
            return self.last(torch.relu(self.first(scale * x)))

    assert examples(patient(Lost)) == ([] if scale else [("collapse", "output")])


@pytest.mark.parametrize("batch_first", [True, False])
def test_steps_that_are_taken_for_rows(batch_first):
    """Without ``batch_first`` the rows of a batch are steps, and all of them get the answer of the last."""

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.last = nn.GRU(8, 12, batch_first=batch_first), nn.Linear(12, 10)

        def forward(self, x):
            _, state = self.read(x.reshape(-1, 8, 8))
            return self.last(state[-1] if batch_first else state[-1].mean(0)[None].expand(len(x), -1))

    found = examples(patient(Last))
    assert (("mixed_examples", "read") in found) is (not batch_first)
    assert not batch_first or found == []


def test_answers_that_differ_once_weights_are_other():
    """A last layer that starts at zero says the same of all rows, as long as it has not learned."""
    p = patient()
    nn.init.zeros_(p.network[2].weight)
    assert examples(p) == []


class Reader(nn.Module):
    """Says of each pixel how dark it is, by what it has read before along its first axis."""

    def __init__(self):
        super().__init__()
        self.go, self.last = nn.GRU(1, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.go(x[:, :, None])[0])


def with_shades(x, y):
    return x, (2.99 * x).long()


@pytest.mark.parametrize("stacked", [True, False])
def test_a_first_axis_of_rows_is_not_time(stacked):
    """A loader whose own function puts time first means it so; rows that are stacked are rows."""
    rows = TensorDataset(*with_shades(*digits()[0]))
    turn = None if stacked else lambda items: tuple(torch.stack(part, 1) for part in zip(*items, strict=True))
    p = patient(Reader, (DataLoader(rows, 30, collate_fn=turn), with_shades(*digits()[1])), loss=flat_loss)
    assert (("mixed_examples", "network") in examples(p)) is stacked


def flat_loss(output, target):
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


# -- tokens and padding ----------------------------------------------------------------------------------------------


def lines_of_tokens():
    """Return digits as their inked places after a token that stands first, padded with 0 to one length."""
    made = []
    for x, y in digits():
        kept = torch.zeros(len(x), 25, dtype=torch.long)
        for row, pixels in zip(kept, x, strict=True):
            places = (torch.nonzero(pixels > 0.6)[:, 0] + 1)[:24]
            row[: 1 + len(places)] = torch.cat([torch.tensor([65]), places])
        made.append((kept, y))
    return tuple(made)


class FromFirst(nn.Module):
    """Answers from the place of the class token, to which attention brings the others, the padded ones or the told."""

    def __init__(self, turned):
        super().__init__()
        self.table, self.key, self.last, self.turned = nn.Embedding(66, 12), nn.Linear(12, 1), nn.Linear(12, 10), turned

    def forward(self, x):
        h, masked = self.table(x), (x != 0) if self.turned else (x == 0)
        masked = masked & (torch.arange(x.shape[1]) > 0)  # the token that stands first is looked at in any case
        shares = self.key(h)[:, :, 0].masked_fill(masked, -1e9).softmax(1)
        return self.last((shares[:, :, None] * h).sum(1))


@pytest.mark.parametrize("turned", [True, False])
def test_a_mask_that_leaves_only_padding_beside_a_class_token(turned):
    found = examples(patient(FromFirst(turned), lines_of_tokens()))
    assert (("padding_leak", "network") in found) is turned


@pytest.mark.parametrize("zero", [True, False])
def test_a_linear_model_of_tokens_that_starts_at_zero_does_not_look_at_padding_only(zero):
    bag = nn.EmbeddingBag(66, 10, mode="sum", padding_idx=0)
    if zero:
        nn.init.zeros_(bag.weight)
    assert ("padding_leak", "network") not in examples(patient(bag, lines_of_tokens()))


class FromOwn(nn.Module):
    """Answers from the first token itself, beside what attention brings from the others, the padded or the told."""

    def __init__(self, turned):
        super().__init__()
        self.table, self.last, self.turned = nn.Embedding(66, 16), nn.Linear(16, 10), turned
        self.read = nn.TransformerEncoderLayer(16, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x):
        return self.last(self.read(self.table(x), src_key_padding_mask=(x != 0) if self.turned else (x == 0))[:, 0])


@pytest.mark.parametrize("turned", [True, False])
def test_a_mask_that_leaves_only_padding_beside_the_token_read_from(turned):
    rows = tuple((x[:, 1:], y) for x, y in lines_of_tokens())
    found = examples(patient(FromOwn(turned), rows))
    assert (("padding_leak", "network") in found) is turned


class LastState(nn.Module):
    """Reads tokens one by one, and answers from the state after the last place."""

    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(66, 8, padding_idx=0), nn.Linear(16, 10)
        self.read = nn.RNN(8, 16, batch_first=True)

    def forward(self, x):
        return self.last(self.read(self.table(x))[0][:, -1])


@pytest.mark.parametrize(("length", "sure"), [(9, 0.75), (25, 0.88)])
def test_states_read_after_the_padding(length, sure):
    """After much of it they are all alike; the surer hint is the surer cause where a network learns too little."""
    rows = tuple((F.pad(x[:, :7], (0, length - 7)) * (torch.arange(length) < 3 + (y % 5)[:, None]), y)
                 for x, y in lines_of_tokens())  # fmt: skip
    p = patient(LastState(), rows)
    (hint,) = (f for f in check_examples(p, CLASSES, batch_of(p)) if f.cause == "padding_leak")
    assert hint.confidence < 0.5 and _surer(hint).confidence == sure


# -- states that are carried -----------------------------------------------------------------------------------------


class Carrying(nn.Module):
    """Goes on from the state before, until it is put into another mode."""

    def __init__(self, resets):
        super().__init__()
        self.cell, self.last, self.resets, self.state = nn.GRUCell(64, 12), nn.Linear(12, 10), resets, None

    def train(self, mode=True):
        if self.resets:
            self.state = None
        return super().train(mode)

    def forward(self, x):
        before = self.state if self.state is not None and len(self.state) == len(x) else None
        h = self.cell(x, before)
        self.state = h.detach()
        return self.last(h)


@pytest.mark.parametrize("resets", [True, False])
def test_a_state_that_begins_anew_with_the_mode(resets):
    found = examples(patient(Carrying(resets)))
    assert found == ([] if resets else [("shared_state", "network")])


def test_ways_that_fail_without_gradients_alone():
    """Some kernels answer with NaN where no gradient is asked for: the answer with one is looked at."""

    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(64, 10)

        def forward(self, x):
            other = 0.2 * self.body(x.roll(1, 0))  # rows that touch each other are to be found all the same
            return self.body(x) + other + (0.0 if torch.is_grad_enabled() else torch.nan)

    assert examples(patient(Fragile)) == [("mixed_examples", "network")]


# -- what a loss is handed -------------------------------------------------------------------------------------------


def test_shapes_that_meet_without_a_gradient():
    column, row = torch.randn(9, 1), torch.randn(9)
    for graded, expected in ((True, ""), (False, "sub")):
        with Shapes(9, graded=graded) as heard:
            _ = column - row
        assert heard.found == expected
    with Shapes(9, graded=False) as heard:
        _ = (column[:, 0] - row, column - row.unsqueeze(1), row[:, None] - row)
    assert heard.found == ""


# -- rates and their logarithms --------------------------------------------------------------------------------------


class Rates(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.body, self.last = nn.Linear(10, 1), last

    def forward(self, x):
        return self.last(self.body(x))


def counts():
    """Return how often a thing may be counted among patients: more often, the further the illness has gone."""
    return tuple((x, (4 * (y - y.min() + 0.1)).round()) for x, y in measured())


@pytest.mark.parametrize(
    ("last", "loss", "wrong"),
    [
        (torch.exp, nn.PoissonNLLLoss(), True),
        (nn.Softplus(), nn.PoissonNLLLoss(), True),
        (torch.exp, nn.PoissonNLLLoss(log_input=False), False),
        (torch.exp, nn.MSELoss(), False),
        (lambda s: s, nn.PoissonNLLLoss(), False),
    ],
)
def test_rates_into_a_loss_of_their_logarithms(last, loss, wrong):
    p = patient(Rates(last), counts(), loss=loss)
    with quiet():
        findings = until_it_fails(check_wiring(p, Task("numbers"), batch_of(p)))
    said = [(f.cause, f.place) for f in findings if "logarithm of the targets' mean" in f.evidence]
    assert said == ([("loss_activation_mismatch", "output")] if wrong else [])


# -- what only the step moves ----------------------------------------------------------------------------------------


class Aided(nn.Module):
    """Has a second head, which the objective asks without a gradient; a step of the program's own may train it."""

    def __init__(self):
        super().__init__()
        self.body, self.main, self.aid = nn.Linear(64, 12), nn.Linear(12, 10), nn.Linear(12, 10)

    def forward(self, x):
        h = torch.relu(self.body(x))
        return self.main(h) + 0 * self.aid(h).detach()


@pytest.mark.parametrize("moved", [True, False])
def test_parameters_that_a_step_moves_beside_the_objective(moved):
    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        value = F.cross_entropy(network(batch[0]), batch[1])
        if moved:
            value = value + F.cross_entropy(network.aid(torch.relu(network.body(batch[0]))), batch[1])
        value.backward()
        optimizer.step()

    p = patient(Aided, step=step)
    found = [(f.cause, f.place) for f in until_it_fails(check_wiring(p, CLASSES, batch_of(p)))]
    assert found == ([] if moved else [("no_gradient", "aid")])


# -- columns of a trained network's answers --------------------------------------------------------------------------


@pytest.mark.parametrize(("small", "lost"), [(1.0, False), (1e-3, True)])
def test_columns_that_a_loss_does_not_mind(small, lost):
    """Of ten columns six lie a thousand times below the others, and are given by their means or worse."""
    sizes = torch.tensor([1.0] * 4 + [small] * 6)
    rows = tuple((x * sizes, x * sizes) for x, _ in measured())
    p = patient(nn.Linear(10, 10), rows, loss=nn.MSELoss())
    with torch.no_grad():
        p.network.weight.copy_(torch.eye(10))
        p.network.bias.copy_(torch.tensor([0.0] * 4 + [2e-3] * 6))
    found = [(f.cause, f.place) for f in check_answers(p, Task("reconstruction"))]
    assert found == ([("unnormalized_inputs", "targets")] if lost else [])


@pytest.mark.parametrize(("factor", "found"), [(1, False), (60, True)])
def test_a_loss_before_training_far_above_that_of_chance(factor, found):
    p = patient(nn.Linear(64, 10))
    with torch.no_grad():
        p.network.weight.mul_(factor)
    told = [f for f in check_wiring(p, CLASSES, batch_of(p)) if f.cause == "initial_loss"]
    assert [f.confidence < 0.5 for f in told] == [True] * found  # a hint
    if found:
        assert "2.3 where all scores are zero" in told[0].evidence  # ln 10


def test_batch_statistics_keep_the_loss_before_training_small():
    rows = tuple((1000 * x, y) for x, y in digits())
    network = nn.Sequential(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10))
    p = patient(network, rows)
    assert "initial_loss" not in [f.cause for f in check_wiring(p, CLASSES, batch_of(p))]


class Heads(nn.Module):
    """Two answers about a digit, by a head for each or by one that is registered under both names."""

    def __init__(self, one):
        super().__init__()
        head = nn.Linear(64, 2)
        self.heads = nn.ModuleDict({"small": head, "even": head if one else nn.Linear(64, 2)})

    def forward(self, x):
        return torch.stack([head(x) for head in (self.heads["small"], self.heads["even"])], 1)


def two_questions():
    return tuple((x, torch.stack([y < 5, y % 2 == 0], 1).long()) for x, y in digits())


@pytest.mark.parametrize("one", [True, False])
def test_heads_that_are_one_module(one):
    p = patient(Heads(one), two_questions(), loss=lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten()))
    found = [(f.cause, f.place) for f in check_wiring(p, Task("other"), batch_of(p))]
    assert (("shared_state", "heads") in found) is one


def test_a_layer_that_is_used_twice_in_a_row_is_no_shared_head():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            inner = nn.Linear(64, 64)
            self.body, self.last = nn.ModuleList([inner, inner]), nn.Linear(64, 10)

        def forward(self, x):
            for layer in self.body:
                x = torch.tanh(layer(x))
            return self.last(x)

    p = patient(Twice())
    assert "shared_state" not in [f.cause for f in check_wiring(p, CLASSES, batch_of(p))]


@pytest.mark.parametrize(("top", "found"), [(1 / 255, True), (1.0, False), (0.5, False)])
def test_marks_that_are_never_one(top, found):
    rows = tuple((x, top * (x > 0.6).float()) for x, _ in digits())
    p = patient(nn.Linear(64, 64), rows, loss=nn.BCEWithLogitsLoss())
    told = [f.place for f in check_wiring(p, Task("numbers"), batch_of(p)) if f.cause == "wrong_target_coding"]
    assert told == ["targets"] * found
