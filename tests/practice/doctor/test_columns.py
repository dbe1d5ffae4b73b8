"""Rules of rows beside rows: copies, windows that overlap, columns in another order, numbers that tell the target."""

import pytest
import torch
from sklearn.datasets import load_diabetes, load_wine
from torch import nn
from torch.utils.data import DataLoader, Dataset

from doctor_patients import digits, measured, patient
from gradus.practice.doctor.checks_data import check_data
from gradus.practice.doctor.checks_loading import check_loading
from gradus.practice.doctor.task import Task

NUMBERS, CLASSES = Task("numbers"), Task("classes", 1, 10)


def found(rows, task=NUMBERS, cause=None):
    """Return causes and places of what the rules of data find, or the places of one cause."""
    width = rows[0][0][0].numel()
    findings = list(check_data(patient(nn.Linear(width, 10), rows), task))
    if cause is None:
        return [(f.cause, f.place) for f in findings]
    return [f.place for f in findings if f.cause == cause]


def wine():
    """Return standardized measurements of wines with their classes."""
    X, y = load_wine(return_X_y=True)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    X, y = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)[order], torch.tensor(y)[order]
    return (X[:110], y[:110]), (X[110:], y[110:])


# -- targets among the inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "known"), [(0.0, True), (0.3, False)])
def test_a_number_of_a_window_that_is_the_target(noise, known):
    def window(x, y):
        told = 5 * y + 2 + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
        return torch.cat([x[:, :4], told, x[:, 4:]], 1)[:, None]

    rows = tuple((window(x, y), y) for x, y in measured())
    assert found(rows) == ([("target_in_inputs", "number 4 of each row's 11")] if known else [])


@pytest.mark.parametrize(
    ("kept", "known"),
    [(range(13), True), ([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12], False)],
)
def test_columns_whose_product_is_the_target(kept, known):
    """The amount of alcohol times the intensity of the colour: both columns are there, or one of them."""
    X = torch.tensor(load_wine().data)
    made = (X[:, 0] * X[:, 9])[torch.randperm(len(X), generator=torch.Generator().manual_seed(0))].float()
    (x, _), (valid, _) = wine()
    rows = ((x[:, kept], made[:110, None]), (valid[:, kept], made[110:, None]))
    expected = ["columns 0 and 9 of the inputs"] if known else []
    assert found(rows, cause="target_in_inputs") == expected


# -- training and validation rows ------------------------------------------------------------------------------------


def walk():
    """Return windows of one series, each with the number after it."""
    series = torch.randn(900, generator=torch.Generator().manual_seed(0)).cumsum(0) / 30
    return series.unfold(0, 13, 1)


def drawn_windows():
    w = walk()
    w = w[torch.randperm(len(w), generator=torch.Generator().manual_seed(1))]
    return (w[:600, :12], w[:600, 12:]), (w[600:, :12], w[600:, 12:])


def windows_by_time():
    w = walk()
    return (w[:600, :12], w[:600, 12:]), (w[620:, :12], w[620:, 12:])


@pytest.mark.parametrize(("rows", "leaks"), [(drawn_windows, True), (windows_by_time, False)])
def test_windows_of_one_series_on_both_sides(rows, leaks):
    assert found(rows(), cause="leaking_rows") == (["train and valid"] if leaks else [])


def doubled(few):
    """Return digits that were all taken twice before they were parted; of the coarse ones, some pixels' ink."""
    (x, y), _ = digits(500)
    x = (x[:, [18, 20, 27, 35, 43, 45]] > 0.5).float() if few else x
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    x, y = torch.cat([x, x])[order], torch.cat([y, y])[order]
    return (x[:700], y[:700]), (x[700:], y[700:])


@pytest.mark.parametrize("few", [False, True])
def test_copies_among_rows_that_never_repeat_by_chance(few):
    assert found(doubled(few), CLASSES, "leaking_rows") == ([] if few else ["train and valid"])


@pytest.mark.parametrize("moved", [True, False])
def test_validation_columns_in_another_order(moved):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    X, y = torch.tensor(X, dtype=torch.float32)[order], torch.tensor(y[:, None], dtype=torch.float32)[order]
    valid = X[242:].flip(1) if moved else X[242:]
    findings = check_data(patient(nn.Linear(10, 1), ((X[:242], y[:242]), (valid, y[242:]))), NUMBERS)
    said = [f for f in findings if "in another order" in f.evidence]
    expected = [("inconsistent_preparation", "valid inputs")] if moved else []
    assert [(f.cause, f.place) for f in said] == expected


@pytest.mark.parametrize("numbered", [lambda t: (t * 5 + 3) % 17, lambda t: t])
def test_tokens_that_are_numbered_otherwise_in_validation(numbered):
    (x, y), (valid, y_val) = digits()
    x, valid = ((16 * t).round().long() for t in (x, valid))
    rows = ((x, y), (numbered(valid), y_val))
    expected = [] if torch.equal(numbered(valid), valid) else ["tokens"]
    assert found(rows, CLASSES, "inconsistent_preparation") == expected


# -- series ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "scrambled"),
    [
        (lambda x: x.reshape(len(x), 3, 40), True),  # numbers of (time, channels) taken for (channels, time)
        (lambda x: x.transpose(1, 2), False),
        (lambda x: x, False),
    ],
)
def test_series_whose_memory_is_read_in_the_wrong_order(read, scrambled):
    def waves(n, seed):
        start = 6.28 * torch.rand(n, 1, 3, generator=torch.Generator().manual_seed(seed))
        time = torch.linspace(0, 6, 40)[:, None]
        x = torch.sin(time * torch.tensor([1.0, 1.7, 2.3]) + start)
        return read(x).contiguous(), start[:, 0, :1].clone()

    rows = waves(200, 0), waves(100, 1)
    assert found(rows, cause="scrambled_inputs") == (["train inputs"] if scrambled else [])


# -- what a data set does in place -----------------------------------------------------------------------------------


class Erased(Dataset):
    """Digits of which drawn pixels are erased, in place or on a copy; under one draw they are the same pixels."""

    def __init__(self, in_place):
        (self.x, self.y), _ = digits(90)
        self.in_place = in_place

    def __len__(self):
        return len(self.y)

    def __getitem__(self, k):
        row = self.x[k] if self.in_place else self.x[k].clone()
        row[torch.rand(64) < 0.3] = 0
        return row, self.y[k]


@pytest.mark.parametrize("in_place", [True, False])
def test_rows_that_are_erased_in_place(in_place):
    p = patient(rows=(DataLoader(Erased(in_place), batch_size=30, shuffle=True), digits()[1]))
    expected = [("shared_state", "train loader")] if in_place else []
    assert [(f.cause, f.place) for f in check_loading(p)] == expected
