"""Rules of rows that follow each other in time."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from doctor_patients import patient
from gradus.practice.doctor.checks_data import check_data
from gradus.practice.doctor.checks_series import check_series
from gradus.practice.doctor.task import Task

NUMBERS = Task("numbers")


def walk(n=700):
    """Return a series that goes on from where it was, with a swing."""
    steps = np.random.default_rng(0).standard_normal(n)
    return np.sin(np.arange(n) / 5) + 0.3 * np.convolve(steps, [0.5, 0.3, 0.2], mode="same")


def rows(centred, horizon=1):
    """Return what is known of each day, smoothed over the days around it or before it, and what comes next."""
    series = walk()
    smooth = np.convolve(series, np.ones(5) / 5, mode="same")
    at = np.arange(20, len(series) - 20)
    level = smooth[at] if centred else smooth[at - 3]
    x = torch.tensor(np.stack([series[at - 1], series[at - 2], level], 1), dtype=torch.float32)
    return (x - x.mean(0)) / x.std(0), torch.tensor(series[at - 1 + horizon][:, None], dtype=torch.float32)


@pytest.mark.parametrize("loader", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_columns_that_hold_what_is_to_come(centred, loader):
    x, y = rows(centred)
    train = DataLoader(TensorDataset(x, y), 20, shuffle=True) if loader else (x, y)
    p = patient(nn.Linear(3, 1), (train, (x, y)), loss=nn.MSELoss())
    found = [(f.cause, f.place) for f in check_series(p, NUMBERS)]
    assert found == ([("target_in_inputs", "column 2")] if centred else [])


def test_what_earlier_targets_say_is_known():
    """A swing that goes on for ever is given by its past, also where later values give it as well."""
    t = torch.arange(600.0)[:, None]
    x, y = torch.cat([torch.sin(t / 5), torch.cos(t / 5)], 1), torch.sin((t + 2) / 5)
    p = patient(nn.Linear(2, 1), ((x, y), (x, y)), loss=nn.MSELoss())
    assert list(check_series(p, NUMBERS)) == []


@pytest.mark.parametrize("later", [True, False])
def test_windows_of_one_series_on_both_sides(later):
    """Windows that end after all of training share values with it rightly; those in between do not."""
    series = torch.tensor(walk(120), dtype=torch.float32)
    windows = series.unfold(0, 12, 1)[:-1]
    x, y = windows, series[12:, None]
    cut = torch.arange(len(x)) >= len(x) - 6 if later else torch.arange(len(x)) % 9 == 4
    if later:  # several series, each with a few windows at its end
        x, y = torch.cat([x + k for k in range(3)]), torch.cat([y + k for k in range(3)])
        cut = cut.repeat(3)
    p = patient(nn.Linear(12, 1), ((x[~cut], y[~cut]), (x[cut], y[cut])), loss=nn.MSELoss())
    found = [f.cause for f in check_data(p, NUMBERS)]
    assert ("leaking_rows" in found) is (not later)


@pytest.mark.parametrize("scaled", [True, False])
def test_padded_series_with_their_length_beside_them(scaled):
    """A length in the hundreds hides the scale of all numbers together."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(120, 30, 3)
    for row in x:
        n = int(torch.randint(16, 28, (1,), generator=generator))
        row[:n, :2] = torch.randn(n, 2, generator=generator)
        row[:, 2] = 100 + n
    y, valid = torch.zeros(120, 1), x[:60].clone()
    if not scaled:
        valid[..., :2] = (valid[..., :2] != 0) * (3 * valid[..., :2] - 8)
    network = nn.Sequential(nn.Flatten(), nn.Linear(90, 1))
    p = patient(network, ((x[60:], y[60:]), (valid, y[:60])), loss=nn.MSELoss())
    found = [f.cause for f in check_data(p, NUMBERS)]
    assert ("inconsistent_preparation" in found) is (not scaled)
