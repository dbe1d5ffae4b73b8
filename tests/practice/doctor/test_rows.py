"""Rules of rows and answers: what loaders pair, what columns add up to, and how answers are judged."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from torch import nn
from torch.utils.data import DataLoader, Dataset

from doctor_patients import causes, digits, measured, patient
from gradus.practice.doctor.checks_data import check_data
from gradus.practice.doctor.checks_evaluate import check_evaluate
from gradus.practice.doctor.checks_loading import check_loading
from gradus.practice.doctor.judge import Judge
from gradus.practice.doctor.patient import Source
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.trial import run_trial

# -- rows and targets that a loader parts ----------------------------------------------------------------------------


class Lines(Dataset):
    """Digits as lines of the pixels that are not blank, each of its own length."""

    def __init__(self):
        (x, self.y), _ = digits(120)
        self.rows = [row[row > 0] for row in x]

    def __len__(self):
        return len(self.y)

    def __getitem__(self, k):
        return self.rows[k], self.y[k]


def padded(rows):
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def as_they_come(items):
    rows, y = zip(*items, strict=True)
    return padded(rows), torch.stack(y)


def sorted_together(items):
    return as_they_come(sorted(items, key=lambda item: -len(item[0])))


def rows_sorted(items):
    rows, y = zip(*items, strict=True)
    return padded(sorted(rows, key=len, reverse=True)), torch.stack(y)


def targets_sorted(items):
    rows, y = as_they_come(items)
    return rows, y.sort().values


def with_lengths(items):
    rows, y = as_they_come(items)
    return rows, torch.tensor([len(row) for row, _ in items]), y


def lengths_of_sorted(items):
    rows, lengths, y = with_lengths(items)
    order = lengths.argsort(descending=True)
    return rows[order], lengths[order], y


def mixed(items):
    rows, y = as_they_come(items)
    return 0.7 * rows + 0.3 * rows.roll(1, 0), y.roll(0)


def noisy(items):
    rows, y = as_they_come(items)
    return rows + 0.01 * torch.randn(rows.shape), y


@pytest.mark.parametrize(
    ("collate", "parted"),
    [
        (rows_sorted, True),
        (targets_sorted, True),
        (lengths_of_sorted, True),
        (as_they_come, False),
        (sorted_together, False),
        (with_lengths, False),
        (mixed, False),
        (noisy, False),
    ],
)
def test_a_batch_pairs_rows_and_targets_as_they_are_alone(collate, parted):
    p = patient(rows=(DataLoader(Lines(), batch_size=30, shuffle=True, collate_fn=collate), digits()[1]))
    assert causes(check_loading(p)) == (["shuffled_pairs"] if parted else [])


def test_validation_rows_are_looked_at_too():
    p = patient(rows=(digits()[0], DataLoader(Lines(), batch_size=30, collate_fn=rows_sorted)))
    found = list(check_loading(p))
    assert causes(found) == ["shuffled_pairs"] and found[0].place == "valid loader"


def test_flags_of_a_batch_are_no_rows():
    """A number of the whole batch lies among its parts, and is not cut into rows."""
    x, y = torch.arange(12.0).reshape(6, 2), torch.arange(6)
    source = Source([(x[:4], torch.tensor(True), y[:4]), (x[4:], torch.tensor(False), y[4:])], 4, "train")
    for limit, n in ((3, 3), (5, 5), (99, 6)):
        rows = source.rows(limit)
        assert len(rows) == 2
        assert torch.equal(rows[0], x[:n]) and torch.equal(rows[1], y[:n])


# -- columns ---------------------------------------------------------------------------------------------------------

NUMBERS = Task("numbers")


def table(change):
    """Return the measurements with columns that know of the target, by ``change(x, y)``."""
    return tuple((change(x, y), y) for x, y in measured())


def parts_of_it(x, y):  # the target is the sum of two columns, neither of which tells it alone
    part = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    return torch.cat([x, 3 * part, y - 3 * part], 1)


def parts_and_noise(x, y):
    noise = 0.05 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return parts_of_it(x, y + noise)


@pytest.mark.parametrize(("change", "known"), [(parts_of_it, True), (parts_and_noise, False), (lambda x, y: x, False)])
def test_columns_that_add_up_to_the_target(change, known):
    p = patient(nn.Linear(12, 1), table(change), loss=nn.MSELoss())
    assert causes(check_data(p, NUMBERS)) == (["target_in_inputs"] if known else [])


def test_a_line_with_a_little_noise_is_no_leak():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 2, generator=generator)
    y = x @ torch.tensor([[2.0], [-3.4]]) + 4.2 + 0.01 * torch.randn(500, 1, generator=generator)
    p = patient(nn.Linear(2, 1), ((x[:400], y[:400]), (x[400:], y[400:])), loss=nn.MSELoss())
    assert causes(check_data(p, NUMBERS)) == []


def test_as_many_columns_as_rows_fit_any_target():
    x = torch.randn(60, 30, generator=torch.Generator().manual_seed(0))
    y = torch.randn(60, 1, generator=torch.Generator().manual_seed(1))
    assert causes(check_data(patient(nn.Linear(30, 1), ((x[:40], y[:40]), (x[40:], y[40:]))), NUMBERS)) == []


class Drawn(Dataset):
    """Rows that are changed anew each time."""

    def __init__(self, change):
        (self.x, self.y), _ = raw()
        self.change = change

    def __len__(self):
        return len(self.y)

    def __getitem__(self, k):
        return self.change(self.x[k]), self.y[k]


def raw():
    """Return the measurements as doctors write them, each column on its scale."""
    X, y = load_diabetes(return_X_y=True, scaled=False)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y[:, None], dtype=torch.float32)
    return (X[:300], y[:300]), (X[300:], y[300:])


def jitter(row):
    return row * (1 + 0.01 * torch.randn(10))


@pytest.mark.parametrize(
    ("change", "prepared", "found"),
    [
        ("standardized", "raw", ["inconsistent_preparation"]),
        ("standardized", "standardized", []),
        ("jitter", "raw", []),
        ("destroyed", "raw", ["destructive_augmentation"]),
    ],
)
def test_rows_drawn_anew_beside_validation_rows(change, prepared, found):
    (x, _), (valid, y_val) = raw()
    mean, spread = x.mean(0), x.std(0)
    ways = {
        "standardized": lambda row: (jitter(row) - mean) / spread,
        "jitter": jitter,
        "destroyed": lambda row: row * torch.rand(10) * 0.1,
    }
    valid = (valid - mean) / spread if prepared == "standardized" else valid
    loader = DataLoader(Drawn(ways[change]), batch_size=30, shuffle=True)
    assert causes(check_data(patient(nn.Linear(10, 1), (loader, (valid, y_val))), NUMBERS)) == found


# -- evaluations -----------------------------------------------------------------------------------------------------


def scored(exchanged, two=False):
    """Return a regression that is evaluated by R squared, of scikit-learn, with its arguments in one order or other."""
    data = tuple((x, torch.cat([y, y + x[:, :1]], 1) if two else y) for x, y in measured())

    def evaluate(network, valid):
        with torch.no_grad():
            answer, truth = network.eval()(valid[0]).numpy(), valid[1].numpy()
        return r2_score(answer, truth) if exchanged else r2_score(truth, answer)

    p = patient(nn.Linear(10, 2 if two else 1), data, loss=nn.MSELoss(), evaluate=evaluate)
    run_trial(p, seconds=60)
    return p


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("exchanged", [False, True])
def test_answers_and_targets_that_have_changed_places(exchanged, two):
    found = [f for f in check_evaluate(scored(exchanged, two), NUMBERS) if f.confidence > 0.5]
    assert causes(found) == (["wrong_evaluation"] if exchanged else [])
    assert not exchanged or "taken for answers" in found[0].evidence


@pytest.mark.parametrize(
    "score",
    [
        lambda answer, truth: -float(((answer - truth) ** 2).mean()),
        lambda answer, truth: -float((answer - truth).abs().mean()),
        lambda answer, truth: float(np.corrcoef(answer[:, 0], truth[:, 0])[0, 1]),
    ],
)
def test_scores_that_know_no_order_of_arguments(score):
    def evaluate(network, valid):
        with torch.no_grad():
            return score(network.eval()(valid[0]), valid[1])

    p = patient(nn.Linear(10, 1), measured(), loss=nn.MSELoss(), evaluate=evaluate)
    run_trial(p, seconds=60)
    assert causes(check_evaluate(p, NUMBERS)) == []


# -- judging raw scores ----------------------------------------------------------------------------------------------


class Repeating(nn.Module):
    """Answers with what it is given, changed in one way, and a little wrong."""

    def __init__(self, way):
        super().__init__()
        self.way, self.gain = way, nn.Parameter(torch.tensor(0.8))

    def forward(self, x):
        return self.way(0.9 * x * self.gain + 0.05)


@pytest.mark.parametrize(
    ("way", "loss", "back", "squashed"),
    [
        (torch.logit, nn.BCEWithLogitsLoss(), torch.sigmoid, True),
        (lambda x: x, nn.MSELoss(), lambda x: x, False),
        (lambda x: x, nn.BCELoss(), lambda x: x, False),
    ],
)
@pytest.mark.parametrize("again", [True, False])
def test_raw_scores_of_numbers_between_0_and_1(way, loss, back, squashed, again):
    """Of rows that are made again, and of other shares, by scikit-learn's R squared of all numbers."""
    (x, _), (valid, _) = digits()
    moving = valid.std(0) > 0  # scikit-learn leaves out columns that are constant
    x, valid = x[:, moving], valid[:, moving]
    aims = (x, valid) if again else tuple((0.9 * t + 0.05).roll(1, 1) for t in (x, valid))
    p = patient(Repeating(way), ((x, aims[0]), (valid, aims[1])), loss=loss)
    judge = Judge.of(p)
    assert judge.task.kind == ("reconstruction" if again else "numbers")
    assert judge.squashed is squashed
    answer, truth = back(p.network(valid)).detach().double().numpy(), aims[1].double().numpy()
    expected = r2_score(truth, answer, multioutput="variance_weighted")
    assert judge(p)["skill"] == pytest.approx(expected, abs=1e-5)
