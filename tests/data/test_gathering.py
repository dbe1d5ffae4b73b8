"""Samples and tallies of a pass: the same whatever pieces the rows come in, and of bounded size."""

import numpy as np
import pandas as pd
import pytest

from gradus.core.storage import memory_limit
from gradus.data.columns import looks_like_classes
from gradus.data.gathering import MAX_CLASSES, Sampler, TargetTally
from gradus.data.memory import memory_free, shares_of


def sampler(size):
    return Sampler(size, lambda rows, mask: rows[mask], np.concatenate)


@pytest.mark.parametrize("piece", [1, 7, 100, 1000])
def test_the_sample_is_of_the_smallest_draws_whatever_the_pieces(piece):
    draws = np.random.default_rng(0).random(1000)
    found = sampler(50)
    for low in range(0, 1000, piece):
        rows = np.arange(low, min(low + piece, 1000))
        found.add(rows * 10, draws[rows], rows)
        assert sum(map(len, found._parts)) <= 100 + piece
    rows, places = found.taken()
    assert places.tolist() == sorted(np.argsort(draws)[:50].tolist())
    assert rows.tolist() == (places * 10).tolist()


def test_few_rows_are_all_kept_and_none_is_none():
    found = sampler(50)
    assert found.taken()[0] is None
    found.add(np.arange(3), np.array([0.9, 0.99, 0.999]), np.arange(3))
    assert found.taken()[0].tolist() == [0, 1, 2]


TARGETS = {
    "words": ["a", "b", "c"] * 20,
    "flags": [True, False] * 9,
    "few numbers": [0, 1, 2] * 20,
    "few numbers, few rows": [0, 1, 2, 0],
    "spread numbers": list(range(0, 1000, 50)) * 10,
    "dense numbers": list(range(20)) * 10,
    "reals": [0.5, 1.5] * 30,
    "whole reals": [0.0, 1.0] * 30,
    "all different": list(range(500)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_classes_are_told_as_of_the_whole_target(name):
    values = pd.Series(TARGETS[name])
    tally = TargetTally()
    for low in range(0, len(values), 11):
        part = values[low : low + 11]
        tally.add(part, np.arange(len(part)) % 3)
    assert tally.are_classes() == looks_like_classes(values)
    assert tally.n == len(values) == sum(int(sides.sum()) for sides in tally.counts.values())


def test_too_many_values_are_no_classes_and_take_no_memory():
    tally = TargetTally()
    tally.add(pd.Series(np.arange(MAX_CLASSES)), np.zeros(MAX_CLASSES, dtype=np.int64))
    assert len(tally.counts) == MAX_CLASSES and not tally.many
    tally.add(pd.Series([5, 6]), np.array([1, 2]))
    assert not tally.many and tally.counts[5].tolist() == [1, 1, 0]
    tally.add(pd.Series([-3, 1]), np.array([0, 0]))
    assert tally.many and not tally.counts and not tally.are_classes()
    assert (tally.low, tally.high) == (-3.0, MAX_CLASSES - 1.0)
    assert tally.sides.tolist() == [MAX_CLASSES + 2, 1, 1]


def test_memory_is_divided_into_less_than_the_whole():
    assert 0 < memory_free() <= memory_limit()
    for memory, row in ((1e9, 100.0), (1e8, 10_000.0), (1e12, 8.0)):
        shares = shares_of(memory, row)
        held = 2 * (shares.sample + 2 * shares.held) + 2 * shares.window
        assert held * row <= memory
