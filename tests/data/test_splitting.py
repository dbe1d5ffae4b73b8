"""Splits: disjoint, complete, without leakage, in proportion, repeatable."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gradus.core.errors import GradusError
from gradus.data.dataset import Dataset
from gradus.data.reading import read
from gradus.data.splitting import split

SHARES = st.sampled_from([(0.2, 0.2), (0.25, 0.0), (0.0, 0.3), (0.1, 0.15), (1 / 3, 1 / 3), (0.05, 0.4)])


def sides(parts, n):
    """Return the side of each row, having checked that there is exactly one."""
    side = np.full(n, -1)
    for number, rows in enumerate((parts.train, parts.valid, parts.test)):
        assert (side[rows] == -1).all()
        side[rows] = number
    assert (side >= 0).all()
    return side


def distinct(n):
    return np.random.default_rng(5).permutation(n).reshape(n, 1)


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=9),
    shares=SHARES,
    seed=st.integers(0, 2**31),
)
@example(sizes=[2, 2, 30, 30, 30], shares=(0.05, 0.4), seed=0)
def test_every_class_keeps_its_share_within_one_row_and_so_do_the_sides(sizes, shares, seed):
    test, valid = shares
    y = np.random.default_rng(seed).permutation(np.repeat([f"c{i}" for i in range(len(sizes))], sizes))
    n = len(y)
    if n * min(s for s in (test, valid) if s) < 2:
        return
    parts = split(distinct(n), y, test=test, valid=valid, seed=seed)
    side = sides(parts, n)
    for number, share in enumerate((1 - test - valid, valid, test)):
        found = Counter(y[side == number].tolist())
        for i, size in enumerate(sizes):
            assert abs(found[f"c{i}"] - size * share) < 1 + 1e-9
        assert abs((side == number).sum() - n * share) <= 1 + 1e-9


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(30, 300),
    n_groups=st.integers(10, 120),
    repeats=st.integers(0, 40),
    shares=SHARES,
    seed=st.integers(0, 2**31),
    stratify=st.booleans(),
)
def test_groups_and_duplicates_lie_on_one_side(n, n_groups, repeats, shares, seed, stratify):
    rng = np.random.default_rng(seed)
    X, y, groups = distinct(n), rng.integers(0, 3, n), rng.integers(0, n_groups, n)
    copies = rng.integers(0, n, (repeats, 2))
    X[copies[:, 0]] = X[copies[:, 1]]
    test, valid = shares
    parts = split(X, y, test=test, valid=valid, seed=seed, stratify=stratify)
    side = sides(parts, n)
    kept = not any("row by row" in note.why for note in parts.notes)
    assert kept or len(np.unique(X)) < 3 * n / 4
    if kept:
        assert pd.Series(side).groupby(X[:, 0]).nunique().max() == 1
    try:
        parts = split(X, y, test=test, valid=valid, seed=seed, stratify=stratify, groups=groups)
    except GradusError as error:
        assert "enough to fill" in str(error)
        return
    side = sides(parts, n)
    assert pd.Series(side).groupby(groups).nunique().max() == 1
    assert pd.Series(side).groupby(X[:, 0]).nunique().max() == 1


@settings(max_examples=100, deadline=None)
@given(times=st.lists(st.integers(0, 60), min_size=20, max_size=200), shares=SHARES)
@example(times=[0] * 14 + [1] + [2] * 5, shares=(0.1, 0.15))
def test_by_time_test_is_after_validation_after_training(times, shares):
    test, valid = shares
    times = np.array(times)
    try:
        parts = split(distinct(len(times)), times % 2, time=times, test=test, valid=valid)
    except GradusError:
        assert len(np.unique(times)) < 3
        return
    side = sides(parts, len(times))
    for early, late in ((0, 1), (1, 2), (0, 2)):
        if (side == early).any() and (side == late).any():
            assert times[side == early].max() < times[side == late].min()
    assert (side == 2).any() == (test > 0) and (side == 1).any() == (valid > 0)
    most = np.bincount(times).max()
    assert abs((side == 2).sum() - test * len(times)) <= most + 1


def test_dates_can_be_split_by(tmp_path):
    days = pd.date_range("2024-01-01", periods=100).to_series().sample(frac=1, random_state=0).to_numpy()
    parts = split(distinct(100), time=days, test=0.2, valid=0.1)
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (70, 10, 20)
    assert days[parts.train].max() < days[parts.valid].min() <= days[parts.valid].max() < days[parts.test].min()
    assert "by time" in parts.how


def test_a_seed_repeats_and_another_differs():
    X, y = distinct(200), np.arange(200) % 2
    one, same, other = (split(X, y, seed=s) for s in (3, 3, 4))
    assert one.test.tolist() == same.test.tolist() and one.valid.tolist() == same.valid.tolist()
    assert one.test.tolist() != other.test.tolist()
    assert one.test.dtype == np.int64 and (np.diff(one.test) > 0).all()


def test_which_rows_are_drawn_is_uniform():
    """Each row is tested in 20 % of 600 splits: within 5.5 sigma, which fails once in 10^5 for 100 rows."""
    counts = np.zeros(100)
    X, y = distinct(100), np.arange(100) % 2
    for seed in range(600):
        counts[split(X, y, seed=seed).test] += 1
    assert np.abs(counts - 120).max() < 5.5 * np.sqrt(600 * 0.2 * 0.8)


def test_bundles_of_duplicates_are_drawn_for_the_test_part_too():
    """Ten copies each of 50 rows beside 500 others: over seeds, copies take their share of the test part."""
    X = np.concatenate([np.repeat(np.arange(50), 10), np.arange(100, 600)])[:, None]
    share = np.mean([(split(X, seed=s).test < 500).mean() for s in range(40)])
    assert 0.35 < share < 0.65


def test_a_table_of_few_different_rows_is_split_by_rows_and_says_so():
    X = np.array([[0], [1]] * 100)
    parts = split(X, np.arange(200) % 4)
    assert len(parts.test) == 40 and "row by row" in parts.notes[0].why


def test_a_quantity_is_not_stratified_and_a_class_of_one_row_is_learned_from():
    y = np.linspace(0, 1, 50)
    assert "stratified" not in split(distinct(50), y).how
    assert "stratified" not in split(distinct(50), np.arange(50) % 2, stratify=False).how
    y = np.array(["a", "b"] * 24 + list("cdefghijkl"))
    for seed in range(5):
        assert set(range(48, 58)) <= set(split(distinct(58), y, test=0.4, valid=0.3, seed=seed).train.tolist())


def test_the_publishers_test_part_is_respected():
    X = pd.DataFrame({"a": np.arange(50), "b": 1.0})
    test = (X.iloc[:3].assign(a=[5, 70, 80]), np.zeros(3))
    data = Dataset(name="t", kind="table", X=X, y=np.arange(50) % 2, target="y", test=test)
    parts = split(data, test=0.5, valid=0.2)
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (40, 10, 0)
    assert "publisher's own test part of 3 rows" in parts.how
    assert [n.count for n in parts.notes] == [1]


def test_a_data_set_brings_its_groups(tmp_path):
    X = pd.DataFrame({"a": np.arange(60)})
    groups = np.repeat(np.arange(20), 3)
    data = Dataset(name="t", kind="table", X=X, y=np.arange(60) % 2, target="y", groups=groups)
    parts = split(data)
    assert not set(groups[parts.train]) & set(groups[parts.test])
    assert "by groups" in parts.how


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"test": 1.0}, r"share in \[0, 1\)"),
        ({"test": -0.1}, r"share in \[0, 1\)"),
        ({"test": 0.5, "valid": 0.5}, "rows to train on"),
        ({"y": [0, 1]}, "20 values in y"),
        ({"groups": np.zeros(20)}, "enough to fill"),
        ({"groups": np.arange(20), "time": np.arange(20)}, "leave one of them out"),
        ({"time": np.zeros(20)}, "more different times"),
        ({"time": np.full(20, np.nan)}, "a time for every row"),
    ],
)
def test_impossible_splits_are_refused(options, match):
    with pytest.raises(GradusError, match=match):
        split(distinct(20), **options)
    with pytest.raises(GradusError, match="a row for each side"):
        split(distinct(2))


@pytest.mark.data
@pytest.mark.parametrize("name", ["ticdata_caravan", "LetterRecognition", "Soybean", "Zoo", "income_survey"])
def test_real_tables_with_duplicates_do_not_leak(data_home, name):
    data = read(data_home / "tabular" / f"{name}.csv.gz")
    parts = split(data)
    rows = list(map(tuple, data.X.astype(object).where(data.X.notna(), None).to_numpy().tolist()))
    train, valid, test = ({rows[i] for i in side} for side in (parts.train, parts.valid, parts.test))
    assert not train & test and not train & valid and not valid & test
    assert abs(len(parts.test) - 0.2 * len(data)) <= 0.02 * len(data) + 1
