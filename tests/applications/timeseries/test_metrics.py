"""Metrics of forecasts against cases by hand, closed forms and simulation."""

import numpy as np
import pytest
from scipy import stats

from gradus.applications.timeseries.metrics import (
    CRPS_LEVELS,
    coverage,
    crps,
    interval_over_origins,
    mae,
    mase,
    mase_scale,
    pinball,
    rmse,
    smape,
)
from gradus.core.errors import InputError


def test_errors_by_hand():
    truth, said = [10.0, 20.0, 0.0], [12.0, 16.0, 0.0]
    assert mae(truth, said) == pytest.approx(2.0)
    assert rmse(truth, said) == pytest.approx(np.sqrt(20 / 3))
    assert smape(truth, said) == pytest.approx((200 * 2 / 22 + 200 * 4 / 36 + 0) / 3)
    # within [1 3 2 6]: one step apart 2, 1, 4; two apart 1, 3
    assert mase_scale([1.0, 3.0, 2.0, 6.0]) == pytest.approx(7 / 3)
    assert mase(truth, said, [1.0, 3.0, 2.0, 6.0], season=2) == pytest.approx(2.0 / 2.0)
    assert coverage(truth, [10.0, 21.0, -1.0], [11.0, 22.0, 1.0]) == pytest.approx(2 / 3)


def test_scaled_errors_of_a_constant_history():
    assert mase([5.0], [5.0], [5.0, 5.0, 5.0]) == 0.0
    assert mase([5.0], [6.0], [5.0, 5.0, 5.0]) == np.inf


def test_smape_lies_between_zero_and_two_hundred():
    assert smape([5.0], [0.0]) == 200.0 and smape([0.0], [0.0]) == 0.0 and smape([1.0], [-1.0]) == 200.0


def test_pinball_by_hand_and_at_the_median():
    assert pinball([10.0, 10.0], [[8.0], [13.0]], levels=(0.9,)) == pytest.approx((0.9 * 2 + 0.1 * 3) / 2)
    truth, said = np.array([1.0, 5.0]), np.array([2.0, 2.0])
    assert pinball(truth, said[:, None], (0.5,)) == pytest.approx(mae(truth, said) / 2)


@pytest.mark.parametrize("y", [-2.0, 0.0, 0.7, 3.0])
def test_crps_of_a_normal_forecast_has_its_closed_form(y):
    mean, deviation = 0.5, 1.5
    z = (y - mean) / deviation
    exact = deviation * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    quantiles = stats.norm.ppf(CRPS_LEVELS, mean, deviation)
    assert crps([y], [quantiles]) == pytest.approx(exact, rel=0.01)


def test_crps_is_least_for_the_true_distribution():
    truth = np.random.default_rng(0).normal(size=20_000)
    scores = {s: crps(truth, np.tile(stats.norm.ppf(CRPS_LEVELS, 0, s), (len(truth), 1))) for s in (0.6, 1.0, 1.6)}
    assert scores[1.0] < min(scores[0.6], scores[1.6])


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="shape of the truth"):
        mae([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="levels on the last axis"):
        pinball([1.0, 2.0], [1.0, 2.0], (0.5,))
    with pytest.raises(InputError, match="more than 2 values"):
        mase_scale([1.0, 2.0], season=2)


def test_intervals_are_students_where_nothing_overlaps():
    values = np.random.default_rng(0).normal(size=9)
    low, high = stats.t.interval(0.95, 8, values.mean(), stats.sem(values))
    assert interval_over_origins(values) == pytest.approx((low, high))
    assert interval_over_origins([1.0]) == (-np.inf, np.inf)
    assert interval_over_origins([1.0, 2.0, 3.0], overlap=3) == (-np.inf, np.inf)  # nothing is independent


@pytest.mark.parametrize("overlap", [1, 4])
def test_intervals_hold_the_truth_as_often_as_they_say(overlap):
    """Errors that overlap are moving sums; 4,000 intervals hold zero in 95 %, give or take what small samples cost."""
    rng, held, tries = np.random.default_rng(1), 0, 4000
    for _ in range(tries):
        white = rng.normal(size=60 + overlap - 1)
        low, high = interval_over_origins(np.convolve(white, np.ones(overlap), "valid"), overlap)
        held += low <= 0 <= high
    assert 0.91 < held / tries < 0.965  # the error of the share itself is 0.004
    if overlap > 1:
        sums = np.convolve(rng.normal(size=63), np.ones(4), "valid")
        wide, narrow = interval_over_origins(sums, 4), interval_over_origins(sums, 1)
        assert wide[1] - wide[0] > 1.3 * (narrow[1] - narrow[0])
