"""Reliability against closed forms and scipy."""

import numpy as np
import pytest
from scipy import stats

from gradus.core.errors import InputError
from gradus.estimators.reliability import reliability_curve, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 3), (3, 3), (1, 7), (50, 100), (999, 1000)])
def test_wilson_is_scipys(k, n):
    oracle = stats.binomtest(k, n).proportion_ci(confidence_level=0.9, method="wilson")
    assert [float(v) for v in wilson(k, n, 0.9)] == pytest.approx([oracle.low, oracle.high], abs=1e-12)


def test_wilson_without_rows_knows_nothing():
    low, high = wilson([0, 5], [0, 5])
    assert (low[0], high[0]) == (0.0, 1.0) and high[1] == 1.0 and 0.5 < low[1] < 1


def test_bins_hold_what_falls_into_them():
    curve = reliability_curve([0.0, 0.04, 0.96, 1.0, 0.55], [0, 1, 1, 1, 0], bins=10)
    assert curve.counts.tolist() == [2, 1, 2]  # 0 and 1 belong to the outer bins, empty bins are left out
    assert curve.predicted == pytest.approx([0.02, 0.55, 0.98])
    assert curve.observed.tolist() == [0.5, 0.0, 1.0]
    assert curve.error == pytest.approx((2 * 0.48 + 0.55 + 2 * 0.02) / 5)
    assert np.all((curve.low <= curve.observed) & (curve.observed <= curve.high))


def test_an_honest_forecaster_has_an_error_of_the_size_of_chance_and_a_boaster_his_excess():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    assert reliability_curve(p, rng.random(20_000) < p).error < 0.02
    sure = np.full(20_000, 0.95)
    # the standard deviation of the observed share is 0.003; 0.017 is more than five of them
    assert reliability_curve(sure, rng.random(20_000) < 0.7).error == pytest.approx(0.25, abs=0.017)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="same length"):
        reliability_curve([0.5], [1, 0])
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        reliability_curve([1.5], [1])
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        reliability_curve([float("nan")], [1])
