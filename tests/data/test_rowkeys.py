"""Keys of rows: equal for equal values wherever they lie, fixed for good, and spread evenly."""

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from gradus.data.rowkeys import bytes_key, column_keys, joined_keys, key_of_numbers, uniform

COLUMNS = {
    "int8": pa.array([1, -2, None, 1], pa.int8()),
    "int64": pa.array([1, -(2**62), None, 1], pa.int64()),
    "uint64": pa.array([1, 2**64 - 1, None, 1], pa.uint64()),
    "bool": pa.array([True, False, None, True]),
    "double": pa.array([0.1, -1e300, None, 0.1]),
    "float": pa.array([0.1, -1e30, None, 0.1], pa.float32()),
    "text": pa.array(["a", "ä", None, "a"]),
    "large text": pa.array(["a", "ä", None, "a"], pa.large_string()),
    "bytes": pa.array([b"a", b"\xff", None, b"a"]),
    "date": pa.array([dt.date(2024, 1, 31), dt.date(1950, 1, 1), None, dt.date(2024, 1, 31)]),
    "time": pa.array([dt.time(1, 2), dt.time(3, 4), None, dt.time(1, 2)]),
    "moment": pa.array([1, 2, None, 1], pa.timestamp("us", tz="UTC")),
    "span": pa.array([1, 2, None, 1], pa.duration("s")),
    "decimal": pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.5"), None, decimal.Decimal("1.50")]),
    "list": pa.array([[1, 2], [2, 1], None, [1, 2]]),
    "struct": pa.array([{"a": 1}, {"a": 2}, None, {"a": 1}]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_equal_values_have_equal_keys_and_others_not(name):
    keys = column_keys(COLUMNS[name])
    assert keys.dtype == np.uint64 and keys[0] == keys[3]
    assert len(set(keys.tolist())) == 3, "two values and what is missing"


@pytest.mark.parametrize("name", COLUMNS)
def test_keys_do_not_depend_on_where_chunks_begin(name):
    column = COLUMNS[name]
    whole = column_keys(pa.concat_arrays([column] * 3))
    assert column_keys(pa.chunked_array([column] * 3)).tolist() == whole.tolist()
    assert column_keys(pa.concat_arrays([column] * 3).slice(3, 5)).tolist() == whole[3:8].tolist()


def test_dictionaries_are_the_words_they_stand_for():
    words = pa.array(["x", None, "y", "x"])
    assert column_keys(words.dictionary_encode()).tolist() == column_keys(words).tolist()


def test_what_counts_as_one_value_in_a_table_has_one_key():
    nan, missing, infinite = column_keys(pa.array([float("nan"), None, float("inf")], pa.float64()))
    assert nan == missing == infinite
    zero, other = column_keys(pa.array([0.0, -0.0]))
    assert zero == other
    assert column_keys(pa.array([None, ""], pa.string()))[0] != bytes_key(b"")
    assert column_keys(pa.array([None, 0]))[0] != column_keys(pa.array([0]))[0]


def test_keys_are_fixed_for_good():
    """A release that changed them would move rows from training to test in every run that is taken up again."""
    assert column_keys(pa.array([1, 2, None])).tolist() == [
        10451216379200822465,
        10905525725756348110,
        11400714819323198485,
    ]
    assert column_keys(pa.array(["gradus"])).tolist() == [11021741863574098048]
    draws = uniform(key_of_numbers(np.arange(2)), 0, "split")
    assert draws.round(12).tolist() == [0.019807039403, 0.022928521814]


def test_numbers_are_mixed_as_splitmix64_does():
    """Its first number from state 0, as in its author's reference implementation (prng.di.unimi.it/splitmix64.c)."""
    assert key_of_numbers(np.array([0])).tolist() == [0xE220A8397B1DCDAF]


def test_columns_of_a_row_count_in_their_order():
    a, b = column_keys(pa.array([1, 2, 1])), column_keys(pa.array([2, 1, 2]))
    keys = joined_keys([a, b], 3)
    assert keys[0] == keys[2] != keys[1]
    assert joined_keys([a], 3)[0] != joined_keys([a, a], 3)[0]


def test_neighbouring_numbers_fall_evenly_and_independently():
    """Kolmogorov-Smirnov and correlations on fixed seeds; each fails by chance once in 100,000."""
    places = key_of_numbers(np.arange(50_000))
    draws = [uniform(places, seed, purpose) for seed in (0, 1) for purpose in ("split", "sample")]
    for draw in draws:
        assert draw.min() >= 0 and draw.max() < 1
        assert stats.kstest(draw, "uniform").pvalue > 1e-5
        assert abs(np.corrcoef(draw[:-1], draw[1:])[0, 1]) < 4.5 / np.sqrt(50_000)
    correlations = np.corrcoef(draws)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4.9 / np.sqrt(50_000)
